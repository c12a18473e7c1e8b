import LigerKernels
import LigerRuntime
import TestSupport
import Testing
import Tile
import TileGPU

/// Products of a linear layer's backward pass at numbers of classes that fill neither a stage nor 16 bytes.
@Suite struct GradientProductTests {
    /// Gradients of logits, a weight and an input, with what is behind the rows of the gradients set to NaN.
    private struct Sample {
        let g, weight, x, factors: NDArray
        let (tokens, classes, hidden): (Int, Int, Int)

        init(tokens: Int, classes: Int, hidden: Int, dtype: DType) throws {
            (self.tokens, self.classes, self.hidden) = (tokens, classes, hidden)
            var random = SeededGenerator(seed: 12)
            let pitch = (classes + 63) / 64 * 64
            let padded = (0..<(tokens * pitch)).map {
                $0 % pitch < classes ? Float.random(in: -1...1, using: &random) : .nan
            }
            g = try NDArray(padded, [tokens, pitch], dtype: dtype).sliced(1, 0..<classes)
            weight = try random.array([classes, hidden], dtype)
            x = try random.array([tokens, hidden], dtype)
            factors = try random.array([tokens], .f32)
        }

        func check(_ stored: DType) throws {
            let (g, w, x, s) = (g.doubles, weight.doubles, x.doubles, factors.doubles)
            let bound = stored == .f32 ? 3e-6 : 2 * (stored.epsilon ?? 0)
            for hasFactors in [true, false] {
                let dx = try NDArray(empty: [tokens, hidden], dtype: stored)
                try GradientProducts.input(
                    self.g, weight, factors: hasFactors ? factors : nil, into: dx)
                let expected = (0..<(tokens * hidden)).map { i in
                    let (t, h) = (i / hidden, i % hidden)
                    let sum = (0..<classes).reduce(0) { $0 + g[t * classes + $1] * w[$1 * hidden + h] }
                    return hasFactors ? sum * s[t] : sum
                }
                #expect(relativeError(dx.doubles, expected) < bound)
            }
            let dw = try NDArray.zeros([classes, hidden], dtype: stored)
            let product = (0..<(classes * hidden)).map { i in
                let (c, h) = (i / hidden, i % hidden)
                return (0..<tokens).reduce(0) { $0 + g[$1 * classes + c] * x[$1 * hidden + h] }
            }
            for (times, accumulate) in [(1.0, false), (2, true)] {
                try GradientProducts.weight(self.g, self.x, into: dw, accumulate: accumulate)
                #expect(relativeError(dw.doubles, product.map { $0 * times }) < bound)
            }
        }
    }

    @Test(arguments: [DType.f32, .bf16, .f16], [DType.f32, .bf16])
    func matchesDouble(dtype: DType, stored: DType) throws {
        try Sample(tokens: 5, classes: 77, hidden: 24, dtype: dtype).check(stored)
    }

    @Test(arguments: [DType.bf16, .f16], [DType.f32, .bf16])
    func matchesOnTheEmulator(dtype: DType, stored: DType) throws {
        try LaunchObservation.with(EmulatedLaunch()) {
            try Sample(tokens: 133, classes: 207, hidden: 264, dtype: dtype).check(stored)
        }
    }
}
