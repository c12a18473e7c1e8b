import Tile

/// y[i] = offset + scale times a random number that depends on (seed, stream, i); one program a block.
struct RandomFillKernel: TileKernel {
    enum Distribution: Hashable, Sendable { case normal, uniform }

    /// Elements a program; divides 2^32, so that the upper half of a place is one for all its lanes.
    static let block = 4096
    let dtype: DType
    let distribution: Distribution

    func body(_ p: Program) {
        let y = p.output("y", dtype, rank: 1)
        let offset = p.scalar("offset"), scale = p.scalar("scale")
        let key = (p.scalar("seed", as: UInt32.self), p.scalar("upper seed", as: UInt32.self))
        let stream = p.scalar("stream", as: UInt32.self)
        let first = p.index * Self.block
        let c = p.range(from: first, capacity: Self.block, limit: y.size(0))

        let upper = (first / (1 << 32)).uint32
        let words = philox(counter: (c.index.uint32, upper, stream, stream & 0), key: key)
        switch distribution {
        case .uniform: y[c] = unit(words.0) * scale + offset
        case .normal:
            // In (0, 1], as a logarithm needs it.
            let radius = sqrt(log(unit(words.0) + 0x1p-24) * -2)
            y[c] = radius * cos(unit(words.1) * (2 * Float.pi)) * scale + offset
        }
    }

    /// In [0, 1): the upper 24 bits, which fp32 holds exactly.
    private func unit(_ word: Tile<UInt32>) -> Tile<Float> { (word >> 8).float * 0x1p-24 }
}
