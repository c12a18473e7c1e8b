import Tile

/// Products of matrices, fp32 arithmetic whatever the storage:
///
///     c = alpha op(a) op(b)    or    c = c + alpha op(a) op(b)
///
/// op transposes where asked, and sums are rounded once, when they are stored. On the processor 16-bit
/// operands are widened panel by panel, and the same product gives the same bits on any number of threads. On
/// a GPU cuBLASLt does the product, and both factors must be of one type.
public enum MatMul {
    /// - Parameters:
    ///   - a: [..., columns], f32, bf16 or f16; leading dimensions count as rows. A view of rank 2 needs
    ///     stride 1 along one of its dimensions only, so slices and transposed views are taken as they are.
    ///   - b: as `a`, of any of these types.
    ///   - c: where the product goes, rows side by side or apart, of any of these types; it may not overlap
    ///     `a` or `b`. Nil makes a new array: of the type of `a` and `b`, f32 where they differ.
    ///   - accumulate: adds to what `c` holds.
    /// - Returns: `c`; a new array is [..., columns of op(b)] with the leading dimensions of `a`, or a matrix
    ///   where `a` is transposed.
    /// - Throws: `RuntimeError` if shapes, types or strides do not fit or memory runs out; an error that
    ///   names the package to install if there is no library for matrix products.
    /// - Cost: 2 rows columns inner operations; in addition to the result, a megabyte or so per thread where a type
    ///   is 16-bit, else nothing.
    public static func apply(
        _ a: NDArray, _ b: NDArray, transposeA: Bool = false, transposeB: Bool = false,
        into c: NDArray? = nil, alpha: Float = 1, accumulate: Bool = false
    ) throws -> NDArray {
        let left = try MatrixOperand("a", a, transposed: transposeA)
        let right = try MatrixOperand("b", b, transposed: transposeB)
        guard left.columns == right.rows else {
            throw RuntimeError(
                "a matrix product of \(left.rows) x \(left.columns) by \(right.rows) x \(right.columns) "
                    + "(a is \(a.shape), b is \(b.shape)). Inner sizes must be equal")
        }
        if accumulate && c == nil {
            throw RuntimeError("a matrix product accumulates into nothing. Give it `into`")
        }
        let result =
            try c
            ?? NDArray(
                empty: (transposeA ? [left.rows] : Array(a.shape.dropLast())) + [right.columns],
                dtype: a.dtype == b.dtype ? a.dtype : .f32, device: a.device)
        try Device.common([a, b, result], "a matrix product")
        let target = try MatrixOperand("c", result, transposed: false)
        guard target.rows == left.rows, target.columns == right.columns, !target.isTransposed else {
            throw RuntimeError(
                "the result of a matrix product must be \(left.rows) x \(right.columns) with rows of stride "
                    + "1; found shape \(result.shape) with strides \(result.strides)")
        }
        guard !result.mayOverlap(a), !result.mayOverlap(b) else {
            throw RuntimeError("a matrix product would overwrite one of its factors. Give it another `into`")
        }
        try result.device.backend.multiply(
            Multiplication(a: left, b: right, c: target, alpha: alpha, accumulates: accumulate))
        return result
    }
}
