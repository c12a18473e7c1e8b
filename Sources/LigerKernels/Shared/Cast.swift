package import LigerRuntime
package import Tile

/// Arrays in another floating-point type, rounded once; and, where asked for, times a number before that.
package enum Cast {
    /// - Parameter x: contiguous, f32, bf16 or f16.
    /// - Returns: like x; x itself where nothing changes.
    package static func apply(_ x: NDArray, to dtype: DType, times factor: Float = 1) throws -> NDArray {
        if x.dtype == dtype && factor == 1 { return x }
        let copy = try NDArray(empty: x.shape, dtype: dtype, device: x.device)
        try apply(x, into: copy, times: factor)
        return copy
    }

    /// - Parameter copy: like x but for its type; it may not overlap x.
    package static func apply(_ x: NDArray, into copy: NDArray, times factor: Float = 1) throws {
        let blocks = (x.count + CastKernel.block - 1) / CastKernel.block
        try CastKernel(from: x.dtype, to: copy.dtype, factor: factor).launch(
            programs: blocks, ["x": x.flattened, "copy": copy.flattened])
    }
}

/// One program a block.
struct CastKernel: TileKernel {
    static let block = 4096
    let from: DType
    let to: DType
    let factor: Float

    func body(_ p: Program) {
        let x = p.input("x", from, rank: 1), copy = p.output("copy", to, rank: 1)
        let i = p.range(from: p.index * Self.block, capacity: Self.block, limit: x.size(0))
        copy[i] = factor == 1 ? x[i] : x[i] * factor
    }
}
