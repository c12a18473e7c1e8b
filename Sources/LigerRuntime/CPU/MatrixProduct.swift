/// C = alpha * op(A) * op(B) + beta * C, float32, row-major.
///
/// op(A) is `rows` x `inner`, op(B) is `inner` x `columns`, C is `rows` x `columns`. A row stride is the
/// number of elements from one row to the next as the matrix lies in memory, before op transposes it. With
/// beta 0, C is not read. C must not overlap A or B.
package struct MatrixProduct {
    /// A factor as it lies in memory.
    package struct Factor {
        package var elements: UnsafePointer<Float>
        package var rowStride: Int
        package var isTransposed: Bool

        package init(_ elements: UnsafePointer<Float>, rowStride: Int, transposed: Bool = false) {
            self.elements = elements
            self.rowStride = rowStride
            isTransposed = transposed
        }

        /// The factor without its first `count` rows (`ofRows`) or columns, counted after op.
        func dropping(_ count: Int, ofRows: Bool) -> Factor {
            let step = ofRows == isTransposed ? 1 : rowStride
            return Factor(elements + count * step, rowStride: rowStride, transposed: isTransposed)
        }
    }

    package var rows: Int
    package var columns: Int
    package var inner: Int
    package var alpha: Float
    package var a: Factor
    package var b: Factor
    package var beta: Float
    package var c: UnsafeMutablePointer<Float>
    package var cRowStride: Int

    package init(
        rows: Int, columns: Int, inner: Int, alpha: Float = 1, _ a: Factor, _ b: Factor, beta: Float = 0,
        into c: UnsafeMutablePointer<Float>, rowStride: Int
    ) {
        self.rows = rows
        self.columns = columns
        self.inner = inner
        self.alpha = alpha
        self.a = a
        self.b = b
        self.beta = beta
        self.c = c
        cRowStride = rowStride
    }

    /// Traps when a size is negative, too large for the library, or a row longer than its stride.
    func checkShape() {
        precondition(rows >= 0 && columns >= 0 && inner >= 0, "negative size in a matrix product")
        let sizes = [rows, columns, inner, a.rowStride, b.rowStride, cRowStride]
        precondition(sizes.allSatisfy { $0 <= Int(Int32.max) }, "matrix product too large for the library")
        precondition(a.rowStride >= (a.isTransposed ? rows : inner), "row stride of A below its row length")
        precondition(
            b.rowStride >= (b.isTransposed ? inner : columns), "row stride of B below its row length")
        precondition(cRowStride >= columns, "row stride of C below its row length")
    }
}

extension MatrixProduct {
    /// The part of the product that makes `range` of C's rows or columns.
    func part(_ range: Range<Int>, ofRows: Bool) -> MatrixProduct {
        var part = self
        if ofRows {
            part.rows = range.count
            part.a = a.dropping(range.lowerBound, ofRows: true)
            part.c = c + range.lowerBound * cRowStride
        } else {
            part.columns = range.count
            part.b = b.dropping(range.lowerBound, ofRows: false)
            part.c = c + range.lowerBound
        }
        return part
    }

    /// Rows or columns of C in one tile, from the shape alone.
    ///
    /// A tile packs the whole other factor anew, which takes 1/128 of the time of its products or less; a
    /// product too small to repay waking a thread is one tile.
    var tileLength: Int {
        let longer = max(rows, columns)
        let worthSplitting = Double(rows) * Double(columns) * Double(inner) >= 0x1p20
        return worthSplitting ? max(64, min(256, (longer + 31) / 32)) : max(longer, 1)
    }
}
