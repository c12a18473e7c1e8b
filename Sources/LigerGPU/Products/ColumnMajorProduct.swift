package import LigerArrays
package import Tile

/// A product as cuBLASLt and hipBLASLt take it: columns side by side in memory, not rows.
///
/// A matrix stored by rows is its transpose stored by columns. So C = op(A) op(B) is asked for as
/// C' = op(B)' op(A)': B's memory comes first, A's second, each transposed just where our op transposes it,
/// and sizes of a matrix in memory change places. Nothing is copied.
package struct ColumnMajorProduct: Hashable, Sendable {
    /// A matrix as it is stored, by columns.
    package struct Matrix: Hashable, Sendable {
        package let dtype: DType
        package let rows: Int
        package let columns: Int
        /// Elements from one column to the next.
        package let leadingDimension: Int
        package let isTransposed: Bool
        /// Elements to the next matrix of a batch.
        package let batchStride: Int
        /// The largest power of two, at most 256, that divides every matrix's address.
        package let alignment: UInt32

        package init(_ operand: MatrixOperand) {
            dtype = operand.dtype
            rows = operand.isTransposed ? operand.rows : operand.columns
            columns = operand.isTransposed ? operand.columns : operand.rows
            leadingDimension = max(operand.rowStride, 1)
            isTransposed = operand.isTransposed
            batchStride = operand.batchStride
            let addresses = UInt(bitPattern: operand.address) | UInt(batchStride * dtype.byteCount)
            alignment = 1 << UInt32((addresses | 256).trailingZeroBitCount)
        }
    }

    package let first: Matrix
    package let second: Matrix
    package let result: Matrix
    /// Length of the sums.
    package let inner: Int
    /// Whether the product is added to what the result holds.
    package let accumulates: Bool
    /// How many products of these sizes are done at once, a batch stride apart.
    package let count: Int
    /// Whether sums of 8-bit factors may have fewer bits than fp32 has.
    package let sumsFast: Bool

    /// - Throws: `RuntimeError` if the library takes no such types: both factors must be of one, and a 16-bit
    ///   product of the same or of f32. Factors with scales are of 8 bits, and fit as `MatMul` has checked.
    package init(_ product: Multiplication) throws {
        let (a, b, c) = (product.a, product.b, product.c)
        guard a.scale != nil || (a.dtype == b.dtype && (c.dtype == a.dtype || c.dtype == .f32)) else {
            throw RuntimeError(
                "a matrix product on a GPU of \(a.dtype.rawValue) by \(b.dtype.rawValue) into "
                    + "\(c.dtype.rawValue). Both factors must be of one type, and the result of that or f32: "
                    + "cast one first")
        }
        first = Matrix(b)
        second = Matrix(a)
        result = Matrix(c)
        inner = a.columns
        accumulates = product.accumulates
        count = product.count
        sumsFast = product.sumsFast
    }
}

extension ColumnMajorProduct: CustomStringConvertible {
    /// `a product of 3 x 4 by 4 x 5, bf16 into f32`, as the caller wrote it.
    package var description: String {
        (count == 1 ? "a product of " : "\(count) products of ")
            + "\(result.columns) x \(inner) by \(inner) x \(result.rows), "
            + (first.dtype == second.dtype ? "" : "\(second.dtype.rawValue) by ")
            + "\(first.dtype.rawValue) into \(result.dtype.rawValue)"
    }

    /// Does what has no terms or no elements, which libraries do not take.
    ///
    /// - Returns: whether nothing is left to do.
    package func isDone(_ product: Multiplication, _ context: GPUContext) throws -> Bool {
        let c = product.c
        if c.rows == 0 || c.columns == 0 { return true }
        if inner > 0 { return false }
        if accumulates { return true }
        let bytes = c.dtype.byteCount
        for index in 0..<count {
            try context.clearRows(
                c.matrix(index).address, pitch: c.rowStride * bytes, width: c.columns * bytes, height: c.rows)
        }
        return true
    }
}
