import LigerKernels
import LigerRuntime
import TestSupport
import Testing
import Tile

/// The words of `count` counters, each a row of counter and key.
private struct PhiloxWords: TileKernel {
    let count: Int

    func body(_ p: Program) {
        let counters = p.input("counters", .u32, rank: 2, as: UInt32.self)
        let keys = p.input("keys", .u32, rank: 2, as: UInt32.self)
        let words = p.output("words", .u32, rank: 2, as: UInt32.self)
        let c = p.range(count)
        let result = philox(
            counter: (counters[0, c], counters[1, c], counters[2, c], counters[3, c]),
            key: (keys[0, c], keys[1, c]))
        (words[0, c], words[1, c], words[2, c], words[3, c]) = result
    }
}

@Suite struct RandomFillTests {
    /// The known answers that the paper's authors publish with their library for Philox4x32-10.
    @Test func knownAnswers() throws {
        let counters: [[UInt32]] = [
            [0, 0, 0, 0], [.max, .max, .max, .max], [0x243F_6A88, 0x85A3_08D3, 0x1319_8A2E, 0x0370_7344],
        ]
        let keys: [[UInt32]] = [[0, 0], [.max, .max], [0xA409_3822, 0x299F_31D0]]
        let answers: [[UInt32]] = [
            [0x6627_E8D5, 0xE169_C58D, 0xBC57_AC4C, 0x9B00_DBD8],
            [0x408F_276D, 0x41C8_3B0E, 0xA20B_C7C6, 0x6D54_51FD],
            [0xD16C_FE09, 0x94FD_CCEB, 0x5001_E420, 0x2412_6EA1],
        ]
        let words = try NDArray(empty: [4, 3], dtype: .u32)
        try PhiloxWords(count: 3).launch(
            programs: 1,
            ["counters": try columns(counters), "keys": try columns(keys), "words": words])
        for (i, answer) in answers.enumerated() {
            #expect((0..<4).map { UInt32(words.integers[$0 * 3 + i]) } == answer)
            let key = UInt64(keys[i][1]) << 32 | UInt64(keys[i][0])
            #expect(Philox.words(counter: SIMD4(counters[i]), key: key) == SIMD4(answer))
        }
    }

    // Below, at and above a program's block, and several.
    @Test(arguments: [1, 3, 4095, 4096, 4097, 20_000], floatTypes)
    func matchesDouble(count: Int, dtype: DType) throws {
        let seed: UInt64 = 0x1234_5678_9ABC_DEF0, stream: UInt32 = 77
        let array = try NDArray(empty: [count], dtype: dtype)
        try RandomFill.normal(array, mean: 0.5, deviation: 2, seed: seed, stream: stream)
        let normal = (0..<count).map { RandomFill.Reference.normal($0, seed: seed, stream: stream) }
        // The angle's rounding counts times the radius, at most 5.8; with the deviation, 12.
        #expect(relativeError(array.doubles, normal.map { 0.5 + 2 * $0 }, scale: 12) < bound(dtype))

        try RandomFill.uniform(array, from: -3, to: 1, seed: seed, stream: stream)
        let uniform = (0..<count).map { RandomFill.Reference.uniform($0, seed: seed, stream: stream) }
        #expect(relativeError(array.doubles, uniform.map { -3 + 4 * $0 }, scale: 4) < bound(dtype))
        #expect(array.doubles.allSatisfy { $0 >= -3 && $0 <= 1 })
    }

    @Test func looksNormal() throws {
        let array = try NDArray(empty: [200, 1000])
        try RandomFill.normal(array, mean: 0, deviation: 1, seed: 3, stream: 0)
        let values = array.doubles, count = Double(values.count)
        // Five deviations of each estimate.
        #expect(abs(values.reduce(0, +) / count) < 5 / count.squareRoot())
        #expect(abs(values.reduce(0) { $0 + $1 * $1 } / count - 1) < 5 * (2 / count).squareRoot())
        #expect(abs(values.reduce(0) { $0 + $1 * $1 * $1 * $1 } / count - 3) < 5 * (96 / count).squareRoot())
        let products = zip(values, values.dropFirst()).reduce(0) { $0 + $1.0 * $1.1 }
        #expect(abs(products / count) < 5 / count.squareRoot())
    }

    @Test func seedsAndStreamsDiffer() throws {
        func numbers(_ seed: UInt64, _ stream: UInt32, _ shape: [Int] = [64]) throws -> [Float] {
            let array = try NDArray(empty: shape)
            try RandomFill.uniform(array, seed: seed, stream: stream)
            return array.floats
        }
        let base = try numbers(1, 1)
        #expect(try numbers(1, 1) == base)
        #expect(try numbers(1, 1, [8, 8]) == base)
        for other in [try numbers(2, 1), try numbers(1, 2), try numbers(1 << 32 | 1, 1)] {
            #expect(zip(base, other).allSatisfy { $0 != $1 })
        }
        #expect(throws: RuntimeError.self) {
            try RandomFill.uniform(try NDArray(empty: [2], dtype: .i32), seed: 1, stream: 1)
        }
    }

    /// Lists of words as a [words, lists] array.
    private func columns(_ lists: [[UInt32]]) throws -> NDArray {
        let words = lists[0].indices.flatMap { word in lists.map { Int($0[word]) } }
        return try NDArray(integers: words, [lists[0].count, lists.count], dtype: .u32)
    }
}
