import LigerKernels
import LigerRuntime
import TestSupport
import Testing
import Tile

@Suite struct RoPEVariantTests {
    /// Qwen2-VL's sections, uneven ones, one, and more than three; planes of one sequence and of each.
    @Test(arguments: [[16, 24, 24], [1, 2, 3], [5], [3, 1, 4, 1]], floatTypes)
    func multimodalMatchesDouble(sections: [Int], dtype: DType) throws {
        var random = SeededGenerator(seed: 1)
        let half = sections.reduce(0, +), heads = 3, length = 5
        for (sequences, rest, width) in [(2, 0, 2 * half), (1, 3, half)] {
            let size = 2 * half + rest
            let x = try random.array([2, length, heads, size], dtype)
            let shape = [sections.count, sequences, length, width]
            let cos = try random.array(shape, dtype, in: -1...1),
                sin = try random.array(shape, dtype, in: -1...1)
            for inverse in [false, true] {
                let y = try MultimodalRoPE.apply(
                    x, cos: cos, sin: sin, sections: sections, inverse: inverse)
                let expected = RoPE.Reference.multimodal(
                    x.doubles, heads: heads, size: size, cos: planes(cos, half), sin: planes(sin, half),
                    tokens: 2 * length, sections: sections, inverse: inverse)
                #expect(relativeError(y.doubles, expected, scale: 4) < bound(dtype, terms: 2))
            }
        }
    }

    /// The planes for both sequences and of full width, as the reference takes them.
    private func planes(_ angles: NDArray, _ half: Int) -> [Double] {
        let (sequences, length, width) = (angles.shape[1], angles.shape[2], angles.shape[3])
        let values = angles.doubles
        return (0..<angles.shape[0]).flatMap { plane in
            (0..<(2 * length)).flatMap { token in
                (0..<(2 * half)).map { i in
                    values[(plane * sequences * length + token % (sequences * length)) * width + i % half]
                }
            }
        }
    }

    /// With one position for all sections it is RoPE.
    @Test func multimodalIsRoPEWhereSectionsAgree() throws {
        var random = SeededGenerator(seed: 2)
        let x = try random.array([1, 4, 2, 12], .bf16)
        let (cos, sin) = try RoPE.tables(positions: 4, headSize: 12, base: 100)
        let plain = try RoPE.apply(x, cos: cos, sin: sin)
        let three = { (table: NDArray) in
            try NDArray(table.floats + table.floats + table.floats, [3, 1, 4, 6])
        }
        let y = try MultimodalRoPE.apply(x, cos: three(cos), sin: three(sin), sections: [1, 2, 3])
        #expect(firstDifference(y.floats, plain.floats) == nil)
    }

    @Test(arguments: [2, 6, 34, 64, 128, 130], floatTypes)
    func interleavedMatchesDouble(size: Int, dtype: DType) throws {
        var random = SeededGenerator(seed: UInt64(size))
        for sequences in [1, 3] {
            let x = try random.array([3, 5, 2, size], dtype)
            let rotations = try random.array([sequences, 5, size / 2, 2], in: -1...1)
            for inverse in [false, true] {
                let y = try InterleavedRoPE.apply(x, rotations: rotations, inverse: inverse)
                let expected = RoPE.Reference.interleaved(
                    x.doubles, heads: 2, half: size / 2, rotations: rotations.doubles, inverse: inverse)
                #expect(relativeError(y.doubles, expected, scale: 4) < bound(dtype, terms: 2))
            }
        }
    }

    /// The inverse is the gradient: <turn(x), dy> = <x, inverse(dy)>, for any factors.
    @Test func inversesAreGradients() throws {
        var random = SeededGenerator(seed: 3)
        let x = try random.array([2, 3, 2, 10]), dy = try random.array([2, 3, 2, 10])
        let planes = try random.array([2, 2, 3, 5]), others = try random.array([2, 2, 3, 5])
        let rotations = try random.array([2, 3, 5, 2])
        func dot(_ a: NDArray, _ b: NDArray) -> Double {
            zip(a.doubles, b.doubles).reduce(0) { $0 + $1.0 * $1.1 }
        }
        let pairs = try [false, true].map { inverse in
            let given = inverse ? dy : x
            return (
                try MultimodalRoPE.apply(
                    given, cos: planes, sin: others, sections: [2, 3], inverse: inverse),
                try InterleavedRoPE.apply(given, rotations: rotations, inverse: inverse)
            )
        }
        #expect(Swift.abs(dot(pairs[0].0, dy) - dot(x, pairs[1].0)) < 1e-4)
        #expect(Swift.abs(dot(pairs[0].1, dy) - dot(x, pairs[1].1)) < 1e-4)
    }

    @Test func refusesMisfits() throws {
        let x = try NDArray.zeros([2, 3, 2, 8]), planes = try NDArray.zeros([2, 1, 3, 8])
        for sections in [[], [3, 3], [4, 0], [1, 1, 1]] {
            #expect(throws: RuntimeError.self) {
                try MultimodalRoPE.apply(x, cos: planes, sin: planes, sections: sections)
            }
        }
        let short = try NDArray.zeros([2, 1, 2, 8])
        #expect(throws: RuntimeError.self) {
            try MultimodalRoPE.apply(x, cos: short, sin: short, sections: [2, 2])
        }
        #expect(throws: RuntimeError.self) { try InterleavedRoPE.apply(x, rotations: short) }
    }
}
