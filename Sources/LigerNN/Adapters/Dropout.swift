package import LigerRuntime
import Tile

/// y = x / (1 - rate), or 0 with probability `rate`.
///
/// Which elements are 0 depends on the seed, the layer, the pass and the element's place alone, so nothing of a mask is
/// kept: the backward pass makes it again, and a resumed run finds the same.
package struct Dropout {
    /// The share of elements that become 0; at least 0 and below 1.
    let rate: Float
    let seed: UInt64
    /// The layer's number: no two layers share a mask.
    let stream: UInt32
    /// The forward pass's number in the run.
    let pass: UInt32

    package init(rate: Float, seed: UInt64, stream: UInt32, pass: UInt32) {
        (self.rate, self.seed, self.stream, self.pass) = (rate, seed, stream, pass)
    }

    /// - Parameter x: contiguous.
    package func applied(to x: NDArray) throws -> NDArray {
        let y = try NDArray(empty: x.shape, dtype: x.dtype, device: x.device)
        // Four words of one counter go to four elements, where the elements divide by four.
        let words = x.count.isMultiple(of: 4) ? 4 : 1
        let (source, target) = (
            x.reshaped([words, x.count / words]), y.reshaped([words, x.count / words])
        )
        let block = DropoutKernel.block
        try DropoutKernel(dtype: x.dtype, words: words).launch(
            programs: (x.count / words + block - 1) / block, ["x": source, "y": target],
            scalars: [
                "rate": .float(rate), "scale": .float(1 / (1 - rate)),
                "seed": .uint32(UInt32(truncatingIfNeeded: seed)),
                "upper seed": .uint32(UInt32(truncatingIfNeeded: seed >> 32)),
                "stream": .uint32(stream), "pass": .uint32(pass),
            ])
        return y
    }
}

/// y[j, i] = x[j, i] scale where word j of (place i, stream, pass) is not below the rate, else 0; a program a block of
/// places. Moves 4 to 8 bytes an element and takes some 30 integer operations for each.
struct DropoutKernel: TileKernel {
    /// Places a program.
    static let block = 1024
    let dtype: DType
    /// Elements that share a counter: up to four.
    let words: Int

    func body(_ p: Program) {
        let x = p.input("x", dtype, rank: 2), y = p.output("y", dtype, rank: 2)
        let rate = p.scalar("rate"), scale = p.scalar("scale")
        let key = (p.scalar("seed", as: UInt32.self), p.scalar("upper seed", as: UInt32.self))
        let stream = p.scalar("stream", as: UInt32.self), pass = p.scalar("pass", as: UInt32.self)
        let i = p.range(from: p.index * Self.block, capacity: Self.block, limit: y.size(1))
        // The last word of the counter tells these numbers from those of `RandomFill`.
        let random = philox(counter: (i.index.uint32, stream, pass, (stream & 0) + 1), key: key)
        for (j, word) in [random.0, random.1, random.2, random.3].prefix(words).enumerated() {
            let isKept = (word >> 8).float * 0x1p-24 >= rate
            y[j, i] = select(isKept, x[j, i] * scale, 0)
        }
    }
}
