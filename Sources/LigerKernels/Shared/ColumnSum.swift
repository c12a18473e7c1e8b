package import LigerRuntime
package import Tile

/// Sums over rows, in fp32 and in the rows' order.
package enum ColumnSum {
    /// - Parameter x: [rows, columns], f32.
    /// - Returns: [columns] in a storage type.
    package static func apply(_ x: NDArray, dtype: DType) throws -> NDArray {
        let sum = try NDArray(empty: [x.shape[1]], dtype: dtype, device: x.device)
        let blocks = (x.shape[1] + ColumnSumKernel.block - 1) / ColumnSumKernel.block
        try ColumnSumKernel(dtype: dtype).launch(programs: blocks, [x, sum])
        return sum
    }
}

/// sum[c] = x[0, c] + x[1, c] + ...; one program a block of columns.
struct ColumnSumKernel: TileKernel {
    static let block = 512
    let dtype: DType

    func body(_ p: Program) {
        let x = p.input("x", .f32, rank: 2), sum = p.output("sum", dtype, rank: 1)
        let c = p.range(from: p.index * Self.block, capacity: Self.block, limit: x.size(1))
        sum[c] = p.loop(from: p.index * 0, to: x.size(0), carrying: p.full(c, 0)) { row, total in
            total + x[row, c]
        }
    }
}
