package import LigerRuntime
package import Tile

extension Float8Factor {
    /// Numbers rounded to 8 bits, with one scale; see `Float8Matrix`.
    ///
    /// - Parameters:
    ///   - x: [rows, columns], contiguous, f32, bf16 or f16.
    ///   - type: e4m3 or e5m2.
    /// - Throws: `RuntimeError` if the array does not fit or memory runs out.
    package init(rounding x: NDArray, to type: DType) throws {
        let result = try Float8Matrix.quantise(x, to: type)
        guard let values = result.values, let scale = result.scale else {
            preconditionFailure("what was asked for")
        }
        self.init(values: values, scale: scale)
    }

    /// Rows and columns exchanged, for products that sum over the rows. Rows of zeros are added up to a multiple of 16.
    ///
    /// - Throws: `RuntimeError` if the number of columns is no multiple of 16 or memory runs out.
    /// - Cost: one byte an element read and one written; with rows to add, twice that.
    package func transposed() throws -> Float8Factor {
        let (rows, columns) = (values.shape[0], values.shape[1])
        guard columns.isMultiple(of: MatMul.float8Multiple) else {
            throw RuntimeError(
                "a matrix of 8-bit floats of shape \(values.shape) is transposed in blocks of "
                    + "\(MatMul.float8Multiple). Its columns must be a multiple of that")
        }
        let missing = (MatMul.float8Multiple - rows % MatMul.float8Multiple) % MatMul.float8Multiple
        guard missing > 0 else {
            return Float8Factor(values: try Float8Matrix.transposed(values), scale: scale)
        }
        let whole = try NDArray(empty: [rows + missing, columns], dtype: values.dtype, device: values.device)
        try values.copyBytes(to: whole.sliced(0, 0..<rows))
        try whole.sliced(0, rows..<rows + missing).clear()
        return Float8Factor(values: try Float8Matrix.transposed(whole), scale: scale)
    }
}
