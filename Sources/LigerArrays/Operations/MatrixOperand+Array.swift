import Tile

extension MatrixOperand {
    /// - Throws: `RuntimeError` if the array is not floating point, or not a matrix with unit stride along
    ///   one dimension and rows that do not overlap.
    init(_ name: String, _ array: NDArray, transposed: Bool) throws {
        guard array.dtype.isFloat else {
            throw RuntimeError("\(name) holds \(array.dtype.rawValue). Give it f32, bf16 or f16")
        }
        guard array.shape.count == 2 || array.isContiguous else {
            throw RuntimeError(
                "\(name) of shape \(array.shape) has strides \(array.strides). Make it contiguous first")
        }
        let matrix = array.rows
        let (rows, columns) = (matrix.shape[0], matrix.shape[1])
        let layout = Self.layout(matrix)
        guard let layout, max(rows, columns, layout.rowStride) <= Int(Int32.max) else {
            throw RuntimeError(
                "\(name) of shape \(array.shape) with strides \(array.strides) is no matrix that the library "
                    + "takes: one dimension needs stride 1, the other at least its length. Copy it first")
        }
        self.init(
            address: array.address, dtype: array.dtype, rows: transposed ? columns : rows,
            columns: transposed ? rows : columns, rowStride: layout.rowStride,
            isTransposed: layout.isTransposed != transposed)
    }

    private static func layout(_ matrix: NDArray) -> (rowStride: Int, isTransposed: Bool)? {
        let (rows, columns) = (matrix.shape[0], matrix.shape[1])
        let (down, across) = (matrix.strides[0], matrix.strides[1])
        if rows == 0 || columns == 0 { return (max(columns, 1), false) }
        if across == 1 || columns == 1 {
            if rows == 1 { return (columns, false) }
            if down >= columns { return (down, false) }
        }
        if down == 1 || rows == 1 {
            if columns == 1 { return (rows, true) }
            if across >= rows { return (across, true) }
        }
        return nil
    }
}
