import Tile

/// sum(x^2) of each block; one program a block.
struct SquareSums: TileKernel {
    static let block = 16_384
    let dtype: DType

    func body(_ p: Program) {
        let x = p.input("x", dtype, rank: 1), sums = p.output("sums", .f32, rank: 1)
        let v = x[p.range(from: p.index * Self.block, capacity: Self.block, limit: x.size(0))]
        sums[p.index] = sum(v * v)
    }
}

/// sqrt(x[0] + x[1] + ...); one program.
struct RootOfTotal: TileKernel {
    func body(_ p: Program) {
        let x = p.input("x", .f32, rank: 1), root = p.output("root", .f32, rank: 1)
        root[0] = sqrt(total(of: x, p))
    }
}

/// min(1, maximum / (norm + 1e-6)), 1 where the norm is not finite; one program.
struct ClipFactor: TileKernel {
    func body(_ p: Program) {
        let norm = p.input("norm", .f32, rank: 1), factor = p.output("factor", .f32, rank: 1)
        let scale = p.scalar("maximum") / (norm[0] + 1e-6)
        factor[0] = select((scale < 1) & (norm[0] < .infinity), scale, 1)
    }
}

/// x times min(1, maximum / (norm + 1e-6)) where that is below 1 and the norm finite; one program a block.
struct ClipBlocks: TileKernel {
    static let block = 4096
    let dtype: DType

    func body(_ p: Program) {
        let x = p.update("x", dtype, rank: 1), norm = p.input("norm", .f32, rank: 1)
        let scale = p.scalar("maximum") / (norm[0] + 1e-6)
        p.when((scale < 1) & (norm[0] < .infinity)) {
            let i = p.range(from: p.index * Self.block, capacity: Self.block, limit: x.size(0))
            x[i] = x[i] * scale
        }
    }
}
