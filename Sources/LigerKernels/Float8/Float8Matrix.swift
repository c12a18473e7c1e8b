public import LigerRuntime
public import Tile

/// A matrix in 8-bit floats with a scale, for the products of tensor cores: x is about scale y, element by element.
///
///     scale = max(|x|, 1e-30) / L       y = x (L / max(|x|, 1e-30)), rounded to nearest, ties to even
///
/// in fp32, with L the largest number of the type, 448 or 57,344. The maximum is that of all of x, or of each row: then a row
/// has a scale of its own. A NaN or an infinity in x makes its scale the same, and y times the scale NaN.
///
/// Hopper's products take both factors with the summed dimension contiguous, and a layer sums over each dimension of each
/// matrix once: columns in the forward pass, rows in the backward one. So `columns` asks for the transposed matrix too.
/// With one scale it has the same numbers. With a scale a row it has a scale for each of x's columns, and numbers of its own.
///
/// Bytes moved, with 16-bit x: one scale, x read twice and y written; its transposition reads and writes one byte an element.
/// With scales of rows x is read once, and twice for the columns.
public enum Float8Matrix {
    /// What has a scale of its own.
    public enum Scaling: String, CaseIterable, Sendable, Hashable {
        /// The whole matrix.
        case tensor
        /// Each row of y, and each row of y transposed.
        case row
    }

    /// What `quantise` gives; nil for what was not asked for.
    public struct Result {
        /// y: [rows, columns].
        public var values: NDArray?
        /// f32: [1], or [rows].
        public var scale: NDArray?
        /// y transposed: [columns, rows].
        public var transposed: NDArray?
        /// f32: of the transposed matrix' rows, [columns]; nil with one scale for all.
        public var transposedScale: NDArray?
    }

    /// - Parameters:
    ///   - x: [rows, columns], contiguous, f32, bf16 or f16.
    ///   - type: e4m3 or e5m2.
    ///   - scaling: one scale for the matrix, or one for each row of y and of y transposed.
    ///   - rows: whether y is asked for.
    ///   - columns: whether y transposed is; both sizes are multiples of 16 then.
    /// - Throws: `RuntimeError` if the array does not fit or memory runs out.
    public static func quantise(
        _ x: NDArray, to type: DType, scaling: Scaling = .tensor, rows: Bool = true, columns: Bool = false
    ) throws -> Result {
        try x.expectFloats("a matrix", shape: x.shape)
        guard x.shape.count == 2, type.isFloat8, rows || columns else {
            throw RuntimeError(
                "a matrix for 8-bit products has two dimensions, a type of 8-bit floats and a layout; found shape "
                    + "\(x.shape) and \(type.rawValue)")
        }
        if columns && !x.shape.allSatisfy({ $0 % 16 == 0 }) {
            throw RuntimeError(
                "a matrix is transposed in blocks of 16; found shape \(x.shape). Pad both sizes to multiples of 16"
            )
        }
        return switch scaling {
        case .tensor: try byTensor(x, type, rows: rows, columns: columns)
        case .row: try byRow(x, type, rows: rows, columns: columns)
        }
    }

    private static func byTensor(_ x: NDArray, _ type: DType, rows: Bool, columns: Bool) throws -> Result {
        let device = x.device, count = (x.count + LargestOfBlocks.block - 1) / LargestOfBlocks.block
        let partial = try NDArray(empty: [max(count, 1)], device: device)
        if count == 0 { try partial.clear() }
        try LargestOfBlocks(dtype: x.dtype).launch(
            programs: count, ["x": x.flattened, "largest": partial])
        let scale = try NDArray(empty: [1], device: device)
        let factor = try NDArray(empty: [1], device: device)
        try ScaleOfLargest(type: type).launch(
            programs: 1, ["largest": partial, "scale": scale, "factor": factor])
        let values = try NDArray(empty: x.shape, dtype: type, device: device)
        try CastToFloat8(from: x.dtype, to: type).launch(
            programs: (x.count + CastToFloat8.block - 1) / CastToFloat8.block,
            ["x": x.flattened, "factor": factor, "y": values.flattened])
        var result = Result(values: rows ? values : nil, scale: scale)
        if columns { result.transposed = try transposed(values) }
        return result
    }

    /// A matrix of bytes with rows and columns exchanged; both sizes are multiples of 16.
    static func transposed(_ values: NDArray) throws -> NDArray {
        let (rows, columns) = (values.shape[0], values.shape[1])
        let result = try NDArray(empty: [columns, rows], dtype: values.dtype, device: values.device)
        let kernel = TransposeBytes()
        try kernel.launch(
            programs: kernel.programs(rows: rows, columns: columns),
            ["x": values.asBytes, "y": result.asBytes])
        return result
    }

    private static func byRow(_ x: NDArray, _ type: DType, rows: Bool, columns: Bool) throws -> Result {
        var result = Result()
        let device = x.device
        if rows {
            let values = try NDArray(empty: x.shape, dtype: type, device: device)
            let scale = try NDArray(empty: [x.shape[0]], device: device)
            try RowsToFloat8(from: x.dtype, to: type, columns: x.shape[1]).launch(
                programs: x.shape[0], ["x": x, "y": values, "scale": scale])
            (result.values, result.scale) = (values, scale)
        }
        if columns {
            let split = RowSplit(rows: x.shape[0], columns: x.shape[1], on: device)
            let partial = try NDArray(empty: [split.programs, x.shape[1]], device: device)
            try LargestOfColumns(dtype: x.dtype, columns: x.shape[1]).launch(
                programs: split.programs, ["x": x, "largest": partial],
                scalars: ["rows per program": .index(split.rowsPerProgram)])
            let scale = try NDArray(empty: [x.shape[1]], device: device)
            let factor = try NDArray(empty: [x.shape[1]], device: device)
            try ScalesOfColumns(type: type).launch(
                programs: ScalesOfColumns.programs(columns: x.shape[1]),
                ["largest": partial, "scale": scale, "factor": factor])
            let values = try NDArray(empty: [x.shape[1], x.shape[0]], dtype: type, device: device)
            let kernel = TransposeToFloat8(from: x.dtype, to: type)
            try kernel.launch(
                programs: kernel.programs(rows: x.shape[0], columns: x.shape[1]),
                ["x": x, "factor": factor, "y": values])
            (result.transposed, result.transposedScale) = (values, scale)
        }
        return result
    }
}

extension NDArray {
    /// The same memory as whole numbers of 8 bits, for an array of 8-bit floats.
    package var asBytes: NDArray {
        precondition(dtype.byteCount == 1)
        return NDArray(buffer: buffer, offset: offset, shape: shape, strides: strides, dtype: .u8)
    }
}
