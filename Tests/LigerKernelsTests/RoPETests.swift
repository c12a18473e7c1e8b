import LigerKernels
import LigerRuntime
import TestSupport
import Testing
import Tile

@Suite struct RoPETests {
    /// Head sizes: one pair, odd numbers of pairs, those of models, and above the executor's blocks.
    @Test(arguments: [2, 6, 34, 64, 128, 130, 256, 1026], floatTypes)
    func matchesDouble(size: Int, dtype: DType) throws {
        var random = SeededGenerator(seed: UInt64(size))
        let frequencies = RoPE.frequencies(headSize: size, base: 10_000, scaling: nil)
        let (cos, sin) = try RoPE.tables(positions: 40, headSize: size, base: 10_000)
        for (batch, length, heads) in [(1, 1, 1), (2, 5, 3), (3, 7, 4)] {
            let x = try random.array([batch, length, heads, size], dtype)
            // Packed rows: positions start again inside a sequence, and need not be in order.
            let packed = (0..<(batch * length)).map { $0 % 3 == 2 ? 39 - $0 : $0 % 4 }
            for positions in [nil, packed] {
                let list = try positions.map { try NDArray(integers: $0, dtype: size < 64 ? .i64 : .i32) }
                let y = try RoPE.apply(x, cos: cos, sin: sin, positions: list)
                let expected = rotated(
                    x, frequencies, positions: positions ?? (0..<(batch * length)).map { $0 % length })
                #expect(relativeError(y.doubles, expected, scale: 4) < bound(dtype))

                let back = try RoPE.apply(y, cos: cos, sin: sin, positions: list, inverse: true)
                #expect(relativeError(back.doubles, x.doubles, scale: 4) < bound(dtype, roundings: 2.5))
            }
        }
    }

    /// The inverse is the gradient: <turn(x), dy> = <x, inverse(dy)>.
    @Test func inverseIsTheGradient() throws {
        var random = SeededGenerator(seed: 1)
        let (cos, sin) = try RoPE.tables(positions: 9, headSize: 10, base: 500)
        let x = try random.array([1, 9, 2, 10]), dy = try random.array([1, 9, 2, 10])
        let y = try RoPE.apply(x, cos: cos, sin: sin)
        let dx = try RoPE.apply(dy, cos: cos, sin: sin, inverse: true)
        let forward = zip(y.doubles, dy.doubles).reduce(0) { $0 + $1.0 * $1.1 }
        let backward = zip(x.doubles, dx.doubles).reduce(0) { $0 + $1.0 * $1.1 }
        #expect(Swift.abs(forward - backward) < 1e-5)
    }

    @Test func copiesWhatTheTablesLeave() throws {
        var random = SeededGenerator(seed: 2)
        let x = try random.array([1, 3, 2, 10], .bf16)
        let (cos, sin) = try RoPE.tables(positions: 3, headSize: 4, base: 100)
        let y = try RoPE.apply(x, cos: cos, sin: sin)
        let (before, after) = (x.doubles, y.doubles)
        let frequencies = RoPE.frequencies(headSize: 4, base: 100, scaling: nil)
        for row in 0..<6 {
            #expect(after[(row * 10 + 4)..<(row * 10 + 10)] == before[(row * 10 + 4)..<(row * 10 + 10)])
            let head = Array(before[(row * 10)..<(row * 10 + 4)])
            let expected = RoPE.Reference.apply(head, position: row / 2, frequencies: frequencies)
            let found = Array(after[(row * 10)..<(row * 10 + 4)])
            #expect(relativeError(found, expected, scale: 4) < bound(.bf16))
        }
    }

    /// In one launch q and k get the bits of a launch each: other numbers of heads and of sequences, dimensions that are
    /// copied, a table row for each token, and lengths that one launch does not take.
    @Test(arguments: [false, true], [false, true]) func pairsAreTwoLaunches(
        inverse: Bool, rowPerToken: Bool
    ) throws {
        var random = SeededGenerator(seed: 3)
        let (cos, sin) = try RoPE.tables(positions: 15, headSize: 6, base: 100)
        for (q, k) in [
            ([3, 5, 4, 6], [3, 5, 1, 6]), ([1, 7, 2, 10], [2, 7, 3, 10]), ([1, 4, 2, 6], [1, 3, 2, 6]),
        ] {
            let q = try random.array(q), k = try random.array(k)
            let found = try RoPE.apply(q, k, cos: cos, sin: sin, rowPerToken: rowPerToken, inverse: inverse)
            for (x, y) in [(q, found.q), (k, found.k)] {
                let alone = try RoPE.apply(x, cos: cos, sin: sin, rowPerToken: rowPerToken, inverse: inverse)
                #expect(y.shape == x.shape && y.doubles == alone.doubles)
            }
            // Of each token its own row, where tables have one for each.
            let tokens = q.shape[0] * q.shape[1], length = q.shape[1]
            let positions = try NDArray(
                integers: (0..<tokens).map { rowPerToken ? $0 : $0 % length }, dtype: .i32)
            let expected = try RoPE.apply(q, cos: cos, sin: sin, positions: positions, inverse: inverse)
            #expect(found.q.doubles == expected.doubles)
        }
    }

    /// Llama 3.2 1B: the frequencies that transformers 5.17.0 computes from its configuration, in fp32.
    @Test func scalesAsLlama3() {
        let scaling = RoPE.Scaling(
            factor: 32, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalContext: 8192)
        let found = RoPE.frequencies(headSize: 64, base: 500_000, scaling: scaling)
        let expected: [(Int, Double)] = [
            (0, 1), (1, 0.663601279258728), (14, 0.0032114461064338684), (15, 0.0012905480107292533),
            (16, 0.000429556705057621), (17, 9.708286233944818e-05), (18, 1.9461638657958247e-05),
            (31, 9.418306490260875e-08),
        ]
        #expect(found.count == 32)
        for (i, value) in expected { #expect(Swift.abs(found[i] / value - 1) < 1e-6, "frequency \(i)") }
    }

    @Test func refusesPositionsOutsideTheTables() throws {
        let (cos, sin) = try RoPE.tables(positions: 4, headSize: 2, base: 10)
        let x = try NDArray.zeros([1, 5, 1, 2])
        let short = #expect(throws: RuntimeError.self) { try RoPE.apply(x, cos: cos, sin: sin) }
        #expect(short?.description.contains("5 tokens") == true)
        for wrong in [4, -1] {
            let positions = try NDArray(integers: [0, 1, 2, wrong, 3], dtype: .i32)
            let error = #expect(throws: (any Error).self) {
                try RoPE.apply(x, cos: cos, sin: sin, positions: positions)
            }
            #expect(error.map { "\($0)".contains("position \(wrong) is outside") } == true)
        }
        #expect(throws: RuntimeError.self) {
            try RoPE.apply(try NDArray.zeros([1, 2, 1, 1]), cos: cos, sin: sin)
        }
        #expect(throws: RuntimeError.self) { try RoPE.tables(positions: 4, headSize: 3, base: 10) }
    }

    private func rotated(_ x: NDArray, _ frequencies: [Double], positions: [Int]) -> [Double] {
        let (heads, size) = (x.shape[2], x.shape[3]), values = x.doubles
        return stride(from: 0, to: values.count, by: size).flatMap { start in
            RoPE.Reference.apply(
                Array(values[start..<(start + size)]), position: positions[start / size / heads],
                frequencies: frequencies)
        }
    }
}
