package import LigerRuntime
import Tile

/// Sums of whole arrays, in fp32 and in an order fixed by their length.
package enum Total {
    /// - Parameters:
    ///   - x: [n], f32, bf16 or f16.
    ///   - divisor: one f32 to divide by.
    /// - Returns: [], f32.
    package static func apply(_ x: NDArray, dividedBy divisor: NDArray? = nil) throws -> NDArray {
        let sum = try NDArray(empty: [1], device: x.device)
        try TotalKernel(dtype: x.dtype, divides: divisor != nil).launch(
            programs: 1, ["x": x, "sum": sum, "divisor": divisor?.flattened])
        return sum.reshaped([])
    }
}

/// sum = x[0] + x[1] + ..., divided where asked; one program.
struct TotalKernel: TileKernel {
    let dtype: DType
    let divides: Bool

    func body(_ p: Program) {
        let x = p.input("x", dtype, rank: 1), sum = p.output("sum", .f32, rank: 1)
        let divisor = divides ? p.input("divisor", .f32, rank: 1) : nil
        let value = total(of: x, p)
        sum[0] = divisor.map { value / $0[0] } ?? value
    }
}

/// The sum of a whole view of rank 1, block by block.
func total(of x: View<Float>, _ p: Program) -> Tile<Float> {
    let block = 4096, zero = p.index * 0
    return p.loop(from: zero, to: x.size(0), step: zero + block, carrying: zero.float) { start, partial in
        partial + sum(x[p.range(from: start, capacity: block, limit: x.size(0))])
    }
}
