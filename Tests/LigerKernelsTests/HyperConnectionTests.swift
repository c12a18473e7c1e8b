import LigerKernels
import LigerRuntime
import TestSupport
import Testing
import Tile

@Suite struct HyperConnectionTests {
    /// One stream, whose matrix is 1; few; and many. Tokens around the number that a program has.
    @Test(arguments: [1, 2, 4, 7], [1, 31, 33]) func coefficientsMatchDouble(streams: Int, tokens: Int) throws
    {
        var random = SeededGenerator(seed: UInt64(streams))
        for (turns, dtype) in [(1, DType.f32), (20, .bf16)] {
            let columns = streams * (streams + 2)
            let options = HyperConnectionCoefficients.Options(
                streams: streams, turns: turns, preEps: 0.01, sinkhornEps: 1e-3, postMultiplier: 1.5)
            let mix = try random.array([tokens, columns], in: -4...4)
            let parameters = try self.parameters(&random, columns, dtype)
            let given = try [[tokens, streams], [tokens, streams], [tokens, streams, streams]].map {
                try random.array($0)
            }
            let expected = HyperConnectionReference.Outcome(
                mix.doubles, upstream: given.map(\.doubles), .init(parameters, options))
            let found = try HyperConnectionCoefficients.forward(mix, parameters, options)
            for (found, expected) in zip([found.pre, found.post, found.res], expected.parts) {
                #expect(relativeError(found.doubles, expected) < bound(.f32, terms: turns * 4))
            }
            let gradients = try HyperConnectionCoefficients.backward(
                dpre: given[0], dpost: given[1], dres: given[2], mix: mix, parameters, options)
            let terms = 16 * turns
            #expect(
                relativeError(gradients.dmix.doubles, expected.dmix, scale: 2) < bound(.f32, terms: terms))
            let sums = [gradients.dbias, gradients.dpre, gradients.dpost, gradients.dres]
            for (found, expected) in zip(sums, [expected.dbias] + expected.dalphas.map { [$0] }) {
                #expect(
                    relativeError(found.doubles, expected, scale: largest(expected, 8))
                        < bound(dtype, terms: terms * tokens * columns))
            }
        }
    }

    @Test func historyIsResAfterEachTurn() throws {
        var random = SeededGenerator(seed: 3)
        let mix = try random.array([70, 8]), parameters = try self.parameters(&random, 8, .f32)
        let given = try [[70, 2], [70, 2], [70, 2, 2]].map { try random.array($0) }
        func options(_ turns: Int) -> HyperConnectionCoefficients.Options { .init(streams: 2, turns: turns) }
        let found = try HyperConnectionCoefficients.forward(mix, parameters, options(3), keepsHistory: true)
        let history = try #require(found.history)
        #expect(history.shape == [3, 2, 2, 70])
        for turn in 0..<3 {
            let res = try HyperConnectionCoefficients.forward(mix, parameters, options(turn + 1)).res
            let expected = HyperConnectionReference.transposed(res.doubles, columns: 4)
            #expect(history.sliced(0, turn..<(turn + 1)).doubles == expected)
        }
        func gradient(_ history: NDArray?) throws -> [Float] {
            try HyperConnectionCoefficients.backward(
                dpre: given[0], dpost: given[1], dres: given[2], mix: mix, parameters, options(3),
                history: history
            ).dmix.floats
        }
        #expect(try gradient(history) == gradient(nil))
    }

    /// After many turns rows and columns have sums of 1, even where the softmax leaves all but one entry of a row near 0.
    @Test(arguments: [1, 40] as [Float]) func resIsDoublyStochastic(size: Float) throws {
        var random = SeededGenerator(seed: 9)
        let mix = try random.array([65, 24], in: -size...size), zeros = try NDArray.zeros([24])
        let one = try NDArray([1])
        let found = try HyperConnectionCoefficients.forward(
            mix, .init(bias: zeros, pre: one, post: one, res: one), .init(streams: 4, turns: 500))
        let res = found.res.doubles
        for token in 0..<65 {
            for line in 0..<4 {
                let row = (0..<4).reduce(0) { $0 + res[token * 16 + line * 4 + $1] }
                let column = (0..<4).reduce(0) { $0 + res[token * 16 + $1 * 4 + line] }
                #expect(
                    abs(column - 1) < 1e-5 && abs(row - 1) < (size == 1 ? 1e-5 : 0.05), "\(row) \(column)")
            }
        }
    }

    /// Logits whose exponentials fp32 does not hold: values and gradients are finite, and columns have sums of 1.
    @Test func largeLogitsStayFinite() throws {
        var random = SeededGenerator(seed: 10)
        let mix = try random.array([5, 24], in: -300...300), one = try NDArray([1])
        let given = try [[5, 4], [5, 4], [5, 4, 4]].map { try random.array($0) }
        let parameters = HyperConnectionCoefficients.Parameters(
            bias: try NDArray.zeros([24]), pre: one, post: one, res: one)
        let options = HyperConnectionCoefficients.Options(streams: 4)
        let found = try HyperConnectionCoefficients.forward(mix, parameters, options)
        let res = found.res.doubles
        let columns = (0..<20).map { line -> Double in
            let first = line / 4 * 16 + line % 4
            return res[first] + res[first + 4] + res[first + 8] + res[first + 12]
        }
        #expect(columns.allSatisfy { abs($0 - 1) < 1e-3 }, "\(columns)")
        let dmix = try HyperConnectionCoefficients.backward(
            dpre: given[0], dpost: given[1], dres: given[2], mix: mix, parameters, options
        ).dmix
        for array in [found.pre, found.post, dmix] { #expect(array.floats.allSatisfy { $0.isFinite }) }
    }

    /// A part of phi's type or both, with and without what is frozen.
    @Test(arguments: floatTypes, floatTypes) func projectionMatchesDouble(dtype: DType, phi type: DType)
        throws
    {
        var random = SeededGenerator(seed: 4)
        for (tokens, columns, outputs) in [(1, 8, 8), (37, 129, 15), (3, 1024, 24)] {
            let x = try random.array([tokens, columns], dtype),
                phi = try random.array([columns, outputs], type)
            let dmix = try random.array([tokens, outputs])
            let found = try HyperConnectionProjection.forward(x, phi: phi, eps: 1e-3)
            let expected = HyperConnectionReference.mix(
                x.doubles, phi: phi.doubles, outputs: outputs, eps: 1e-3)
            let size = 2 * Double(columns).squareRoot()
            #expect(relativeError(found.mix.doubles, expected, scale: size) < bound(.f32, terms: columns))
            let gradient = HyperConnectionReference.mixBackward(
                dmix: dmix.doubles, x.doubles, phi: phi.doubles, outputs: outputs, eps: 1e-3)
            for (needsX, needsPhi) in [(true, true), (true, false), (false, true)] {
                let gradients = try HyperConnectionProjection.backward(
                    dmix: dmix, x: x, phi: phi, mix: found.mix, rstd: found.rstd, needsX: needsX,
                    needsPhi: needsPhi)
                #expect((gradients.dx != nil, gradients.dphi != nil) == (needsX, needsPhi))
                if let dx = gradients.dx {
                    #expect(
                        relativeError(dx.doubles, gradient.dx, scale: largest(gradient.dx, 4))
                            < bound(dtype, terms: columns))
                }
                if let dphi = gradients.dphi {
                    #expect(
                        relativeError(dphi.doubles, gradient.dphi, scale: largest(gradient.dphi, 4))
                            < bound(type, terms: columns + tokens))
                }
            }
        }
    }

    /// A layer's result of another type than the streams.
    @Test(arguments: floatTypes, floatTypes) func nextStreamsMatchDouble(dtype: DType, layer: DType) throws {
        var random = SeededGenerator(seed: 5)
        for (tokens, n, columns) in [(1, 1, 1), (5, 2, 33), (3, 16, 130)] {
            let x = try random.array([tokens, n, columns], dtype)
            let f = try random.array([tokens, columns], layer), dy = try random.array(x.shape, dtype)
            let post = try random.array([tokens, n]), res = try random.array([tokens, n, n])
            let product = HyperConnectionReference.Products(tokens: tokens)
            let y = try HyperConnectionStreams.next(x, f: f, post: post, res: res)
            let expected = zip(product(res, x, inner: n), product(post, f, inner: 1)).map(+)
            #expect(relativeError(y.doubles, expected, scale: largest(expected, 8)) < bound(dtype, terms: n))
            let gradients = try HyperConnectionStreams.nextBackward(dy: dy, x: x, f: f, post: post, res: res)
            for (found, expected, type) in [
                (gradients.dx, product(res, dy, inner: n, transposing: .first), dtype),
                (gradients.df, product(post, dy, inner: n), layer),
                (gradients.dpost, product(dy, f, inner: columns), .f32),
                (gradients.dres, product(dy, x, inner: columns, transposing: .second), .f32),
            ] {
                #expect(
                    relativeError(found.doubles, expected, scale: largest(expected, 8))
                        < bound(type, terms: n + columns))
            }
        }
    }

    /// What enters a layer, and its gradients.
    @Test(arguments: [(1, 1, 1), (5, 2, 33), (3, 16, 130)], floatTypes)
    func inputMatchesDouble(sizes: (tokens: Int, streams: Int, columns: Int), dtype: DType) throws {
        var random = SeededGenerator(seed: 6)
        let (tokens, n, columns) = sizes
        let x = try random.array([tokens, n, columns], dtype), pre = try random.array([tokens, n])
        let dy = try random.array([tokens, columns], dtype)
        let product = HyperConnectionReference.Products(tokens: tokens)
        let y = try HyperConnectionStreams.input(x, pre: pre)
        let gradients = try HyperConnectionStreams.inputBackward(dy: dy, x: x, pre: pre)
        for (found, expected, type) in [
            (y, product(pre, x, inner: n), dtype), (gradients.dx, product(pre, dy, inner: 1), dtype),
            (gradients.dpre, product(x, dy, inner: columns), .f32),
        ] {
            #expect(
                relativeError(found.doubles, expected, scale: largest(expected, 8))
                    < bound(type, terms: n + columns))
        }
    }

    /// Rows so long that products take them two at a time: each is as it is alone, and phi's gradient has all.
    @Test func projectionTakesLongRowsInParts() throws {
        var random = SeededGenerator(seed: 7)
        let columns = 1 << 23
        let row = try random.array([1, columns], .bf16, in: -1...1)
        let rows = try NDArray.zeros([3, columns], dtype: .bf16)
        for token in [0, 2] { try row.copyBytes(to: rows.sliced(0, token..<(token + 1))) }
        let phi = try random.array([columns, 1], in: -1...1), dmix = try random.array([3, 1])
        func run(_ x: NDArray, _ dmix: NDArray) throws -> (mix: [Float], dx: NDArray, dphi: NDArray) {
            let found = try HyperConnectionProjection.forward(x, phi: phi, eps: 1e-3)
            let gradients = try HyperConnectionProjection.backward(
                dmix: dmix, x: x, phi: phi, mix: found.mix, rstd: found.rstd)
            return (found.mix.floats, try #require(gradients.dx), try #require(gradients.dphi))
        }
        let found = try run(rows, dmix)
        let (first, last) = (try run(row, dmix.sliced(0, 0..<1)), try run(row, dmix.sliced(0, 2..<3)))
        #expect(found.mix == [first.mix[0], 0, last.mix[0]])
        for (token, alone) in [(0, first), (2, last)] {
            let dx = found.dx.sliced(0, token..<(token + 1))
            #expect(firstDifference(dx.floats, alone.dx.floats) == nil)
        }
        let dphi = zip(first.dphi.doubles, last.dphi.doubles).map(+)
        #expect(relativeError(found.dphi.doubles, dphi) < bound(.f32))
    }

    @Test func refusesMisfits() throws {
        let mix = try NDArray.zeros([3, 8]), one = try NDArray([1]), bias = try NDArray.zeros([8])
        let parameters = HyperConnectionCoefficients.Parameters(bias: bias, pre: one, post: one, res: one)
        for options in [(3, 5), (2, 0), (0, 5)] {
            #expect(throws: RuntimeError.self) {
                try HyperConnectionCoefficients.forward(
                    mix, parameters, .init(streams: options.0, turns: options.1))
            }
        }
        #expect(throws: RuntimeError.self) { try HyperConnectionProjection.forward(mix, phi: mix, eps: 1) }
        #expect(throws: RuntimeError.self) { try HyperConnectionStreams.input(mix, pre: mix) }
        #expect(throws: RuntimeError.self) {
            try HyperConnectionStreams.input(.zeros([3, 2, 4]), pre: .zeros([3, 4]))
        }
        let turned = try NDArray.zeros([2, 3]).transposed(0, 1),
            dy = try NDArray.zeros([4, 3]).transposed(0, 1)
        for (dy, pre) in try [(NDArray.zeros([3, 4]), turned), (dy, .zeros([3, 2]))] {
            #expect(throws: RuntimeError.self) {
                try HyperConnectionStreams.inputBackward(dy: dy, x: .zeros([3, 2, 4]), pre: pre)
            }
        }
    }

    private func parameters(
        _ random: inout SeededGenerator, _ columns: Int, _ dtype: DType
    ) throws -> HyperConnectionCoefficients.Parameters {
        let bias = try random.array([columns], dtype)
        let alphas = try (0..<3).map { _ in try random.array([1], dtype) }
        return .init(bias: bias, pre: alphas[0], post: alphas[1], res: alphas[2])
    }
}
