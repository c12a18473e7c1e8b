package import LigerRuntime
package import Tile

/// Sums over rows, in fp32 and in the rows' order.
package enum ColumnSum {
    /// - Parameter x: [rows, columns], f32.
    /// - Returns: [columns] in a storage type.
    package static func apply(_ x: NDArray, dtype: DType) throws -> NDArray {
        let sum = try NDArray(empty: [x.shape[1]], dtype: dtype, device: x.device)
        try apply(x, into: sum, accumulate: false)
        return sum
    }

    /// - Parameters:
    ///   - sum: [columns]; what it holds comes first in the sum where `accumulate` is set.
    package static func apply(_ x: NDArray, into sum: NDArray, accumulate: Bool) throws {
        let blocks = (x.shape[1] + ColumnSumKernel.block - 1) / ColumnSumKernel.block
        try ColumnSumKernel(dtype: sum.dtype, accumulates: accumulate).launch(programs: blocks, [x, sum])
    }
}

/// sum[c] = x[0, c] + x[1, c] + ...; one program a block of columns.
struct ColumnSumKernel: TileKernel {
    static let block = 512
    let dtype: DType
    let accumulates: Bool

    func body(_ p: Program) {
        let x = p.input("x", .f32, rank: 2)
        let sum = accumulates ? p.update("sum", dtype, rank: 1) : p.output("sum", dtype, rank: 1)
        let c = p.range(from: p.index * Self.block, capacity: Self.block, limit: x.size(1))
        let first = accumulates ? sum[c] : p.full(c, 0)
        sum[c] = p.loop(from: p.index * 0, to: x.size(0), carrying: first) { row, total in
            total + x[row, c]
        }
    }
}
