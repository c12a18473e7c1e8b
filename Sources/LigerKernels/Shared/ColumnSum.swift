package import LigerRuntime
package import Tile

/// Sums over rows, in fp32 and in an order fixed by their number and length.
package enum ColumnSum {
    /// - Parameter x: [rows, columns], f32, bf16 or f16.
    /// - Returns: [columns] in a storage type.
    package static func apply(_ x: NDArray, dtype: DType) throws -> NDArray {
        let sum = try NDArray(empty: [x.shape[1]], dtype: dtype, device: x.device)
        try apply(x, into: sum, accumulate: false)
        return sum
    }

    /// - Parameters:
    ///   - sum: [columns]; what it holds comes first in the sum where `accumulate` is set.
    package static func apply(_ x: NDArray, into sum: NDArray, accumulate: Bool) throws {
        let (rows, columns) = (x.shape[0], x.shape[1])
        if TallColumnSum.suits(rows: rows, columns: columns) {
            return try TallColumnSum(
                terms: x.dtype, dtype: sum.dtype, accumulates: accumulate,
                capacity: capacity(for: rows, atLeast: 256)
            ).launch(programs: columns / TallColumnSum.group, [x, sum])
        }
        let blocks = (columns + ColumnSumKernel.block - 1) / ColumnSumKernel.block
        try ColumnSumKernel(terms: x.dtype, dtype: sum.dtype, accumulates: accumulate).launch(
            programs: blocks, [x, sum])
    }
}

/// sum[c] = x[0, c] + x[1, c] + ...; one program a block of columns.
struct ColumnSumKernel: TileKernel {
    static let block = 512
    let terms: DType
    let dtype: DType
    let accumulates: Bool

    func body(_ p: Program) {
        let x = p.input("x", terms, rank: 2)
        let sum = accumulates ? p.update("sum", dtype, rank: 1) : p.output("sum", dtype, rank: 1)
        let c = p.range(from: p.index * Self.block, capacity: Self.block, limit: x.size(1))
        let first = accumulates ? sum[c] : p.full(c, 0)
        sum[c] = p.loop(from: p.index * 0, to: x.size(0), carrying: first) { row, total in
            total + x[row, c]
        }
    }
}

/// sum[c] = x[0, c] + x[1, c] + ... where there are rows enough to occupy a program; one program a few columns, its lanes
/// along the rows, so that a row's neighbours come from one stretch of memory.
struct TallColumnSum: TileKernel {
    static let group = 8
    let terms: DType
    let dtype: DType
    let accumulates: Bool
    /// The most rows.
    let capacity: Int

    static func suits(rows: Int, columns: Int) -> Bool {
        rows > 64 && rows <= 1 << 14 && columns % group == 0 && columns < 64 * rows
    }

    func body(_ p: Program) {
        let x = p.input("x", terms, rank: 2)
        let out = accumulates ? p.update("sum", dtype, rank: 1) : p.output("sum", dtype, rank: 1)
        let r = p.range(capacity: capacity, limit: x.size(0))
        for step in 0..<Self.group {
            let c = p.index * Self.group + step
            let total = sum(x[r, c])
            out[c] = accumulates ? out[c] + total : total
        }
    }
}
