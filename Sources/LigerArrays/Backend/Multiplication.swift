/// Products of matrices of one size, in fp32 whatever the storage:
///
///     c[i] = alpha a[i] b[i]    or    c[i] = c[i] + alpha a[i] b[i]
///
/// Sums are rounded once, when they are stored. The sizes fit, and no c overlaps another matrix.
///
/// Both factors of a product of 8-bit floats have scales, and a is not transposed, while b is: the layout that tensor
/// cores take.
package struct Multiplication {
    package var a: MatrixOperand
    package var b: MatrixOperand
    package var c: MatrixOperand
    package let alpha: Float
    package let accumulates: Bool
    /// How many products, their operands' batch strides apart.
    package let count: Int
    /// Whether sums of a product of 8-bit floats may have as few bits as tensor cores are fastest with.
    package let sumsFast: Bool

    package init(
        a: MatrixOperand, b: MatrixOperand, c: MatrixOperand, alpha: Float = 1, accumulates: Bool = false,
        count: Int = 1, sumsFast: Bool = false
    ) {
        self.sumsFast = sumsFast
        self.a = a
        self.b = b
        self.c = c
        self.alpha = alpha
        self.accumulates = accumulates
        self.count = count
    }

    /// The product of one number alone.
    package func product(_ index: Int) -> Multiplication {
        Multiplication(
            a: a.matrix(index), b: b.matrix(index), c: c.matrix(index), alpha: alpha, accumulates: accumulates
        )
    }
}
