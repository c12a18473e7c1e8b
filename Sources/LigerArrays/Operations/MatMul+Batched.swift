extension MatMul {
    /// As many products of one size as the arrays have matrices, the same steps apart:
    ///
    ///     c[i] = alpha op(a[i]) op(b[i])    or    c[i] = c[i] + alpha op(a[i]) op(b[i])
    ///
    /// On a GPU that is one call of cuBLASLt. On the processor the products are spread over the threads, or
    /// each of them is where they are fewer than threads; the bits are the same.
    ///
    /// - Parameters:
    ///   - a: [count, rows, columns], f32, bf16 or f16, by any step: the matrices of a step of 0 are one. Within
    ///     a matrix, one dimension needs stride 1, so the heads of [batch, sequence, heads, D] are taken as
    ///     they are.
    ///   - b: as `a`; on a GPU of the same type.
    ///   - c: [count, rows of op(a), columns of op(b)], of any type (on a GPU that of `a`, or f32), rows with
    ///     stride 1; its matrices may not overlap each other, nor the factors.
    ///   - accumulate: adds to what `c` holds.
    /// - Throws: `RuntimeError` if shapes, types or strides do not fit or memory runs out.
    /// - Cost: 2 count rows columns inner operations; workspace as for `apply`, per thread.
    package static func applyBatched(
        _ a: NDArray, _ b: NDArray, transposeA: Bool = false, transposeB: Bool = false, into c: NDArray,
        alpha: Float = 1, accumulate: Bool = false
    ) throws {
        let count = c.shape.first ?? 0
        let left = try batch("a", a, transposed: transposeA, count: count)
        let right = try batch("b", b, transposed: transposeB, count: count)
        let target = try batch("c", c, transposed: false, count: count)
        guard left.columns == right.rows, target.rows == left.rows, target.columns == right.columns,
            !target.isTransposed
        else {
            throw RuntimeError(
                "products of \(left.rows) x \(left.columns) by \(right.rows) x \(right.columns) into "
                    + "\(target.rows) x \(target.columns) (strides \(c.strides)). Inner sizes must be equal, the "
                    + "result as large as both leave it and its rows of stride 1")
        }
        guard target.matricesAreApart(count), !c.mayOverlap(a), !c.mayOverlap(b) else {
            throw RuntimeError(
                "products into shape \(c.shape) with strides \(c.strides) would overwrite each other or a "
                    + "factor. Give them another `into`")
        }
        try Device.common([a, b, c], "a batch of matrix products")
        if count == 0 { return }
        try c.device.backend.multiply(
            Multiplication(
                a: left, b: right, c: target, alpha: alpha, accumulates: accumulate, count: count))
    }

    private static func batch(
        _ name: String, _ array: NDArray, transposed: Bool, count: Int
    ) throws -> MatrixOperand {
        guard array.shape.count == 3, array.shape[0] == count, array.strides[0] >= 0 else {
            throw RuntimeError(
                "\(name) must hold \(count) matrices; found shape \(array.shape) with strides "
                    + "\(array.strides). Give it as [\(count), rows, columns]")
        }
        let matrix = NDArray(
            buffer: array.buffer, offset: array.offset, shape: Array(array.shape[1...]),
            strides: Array(array.strides[1...]), dtype: array.dtype)
        var operand = try MatrixOperand(name, matrix, transposed: transposed)
        operand.batchStride = count > 1 ? array.strides[0] : 0
        return operand
    }
}

extension MatrixOperand {
    /// Whether the matrices of a batch, stored by rows, share no element: each ends before the next begins, or
    /// rows of all matrices are interleaved.
    fileprivate func matricesAreApart(_ count: Int) -> Bool {
        if count <= 1 || rows == 0 || columns == 0 { return true }
        if batchStride >= (rows - 1) * rowStride + columns { return true }
        return batchStride >= columns && (count - 1) * batchStride + columns <= rowStride
    }
}
