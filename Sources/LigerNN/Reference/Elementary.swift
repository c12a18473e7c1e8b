import LigerRuntime
import Tile

/// Elementary operations on arrays, under those on tensors.
enum Elementary {
    static func product(_ a: NDArray, _ b: NDArray, _ dtype: DType) throws -> NDArray {
        let y = try NDArray(empty: a.shape, dtype: dtype, device: a.device)
        try MultiplyKernel(a: a.dtype, b: b.dtype, y: dtype).launch(
            programs: Elementwise.programs(of: y), ["a": a.flattened, "b": b.flattened, "y": y.flattened])
        return y
    }

    /// b is one number per row [rows], or a table [length, columns] whose rows serve `divisor` rows of x each.
    static func broadcast(
        _ operation: BroadcastKernel.Operation, _ x: NDArray, _ b: NDArray, divisor: Int = 1
    ) throws -> NDArray {
        let y = try NDArray(empty: x.shape, dtype: x.dtype, device: x.device)
        let source: RowSource = b.shape.count == 1 ? .numberPerRow : .table
        let kernel = BroadcastKernel(
            operation: operation, source: source, columns: x.shape[1], x: x.dtype, b: b.dtype)
        try kernel.launch(
            programs: x.shape[0], ["x": x, "y": y, "b": b],
            scalars: ["divisor": source == .table ? .index(divisor) : nil])
        return y
    }

    static func rowReduction(_ operation: RowReductionKernel.Operation, _ x: NDArray) throws -> NDArray {
        let y = try NDArray(empty: [x.shape[0]], device: x.device)
        try RowReductionKernel(operation: operation, columns: x.shape[1], dtype: x.dtype).launch(
            programs: x.shape[0], ["x": x, "y": y])
        return y
    }

    static func mapped(_ x: NDArray, _ function: ElementFunction) throws -> NDArray {
        let y = try NDArray(empty: x.shape, dtype: x.dtype, device: x.device)
        try FunctionKernel(function: function, dtype: x.dtype).launch(
            programs: Elementwise.programs(of: y), ["x": x.flattened, "y": y.flattened])
        return y
    }

    /// What is in no pair becomes 0.
    static func exchangedPairs(
        _ x: NDArray, _ pairing: RotaryPairing, count: Int, sign: Float
    ) throws -> NDArray {
        let y = try NDArray.zeros(x.shape, dtype: x.dtype, device: x.device)
        func pairs(_ array: NDArray) -> NDArray {
            let (rows, columns) = (array.rows.shape[0], array.rows.shape[1])
            let strides = pairing == .halves ? [columns, count, 1] : [columns, 1, 2]
            return NDArray(
                buffer: array.buffer, offset: array.offset, shape: [rows, 2, count], strides: strides,
                dtype: array.dtype)
        }
        try ExchangePairsKernel(count: count, sign: sign, dtype: x.dtype).launch(
            programs: x.rows.shape[0], ["x": pairs(x), "y": pairs(y)])
        return y
    }
}
