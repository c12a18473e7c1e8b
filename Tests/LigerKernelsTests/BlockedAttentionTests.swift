import LigerKernels
import LigerRuntime
import TestSupport
import Testing
import Tile

@Suite struct BlockedAttentionTests {
    struct Sizes: CustomTestStringConvertible, Sendable {
        let batch, length, heads, kvHeads, headSize: Int
        var testDescription: String { "\(batch) x \(length), \(heads)/\(kvHeads) heads of \(headSize)" }
    }

    /// One query, odd lengths, lengths around a block of 16 queries, which a budget of nothing leaves, a piece
    /// of 512 keys and a block of 256 queries; heads alone, shared by 2, shared by all; 1 and 3 sequences.
    static let grid: [Sizes] =
        [1, 2, 3, 15, 16, 17, 33, 64, 129].flatMap { length in
            [4, 2, 1].map { Sizes(batch: 1 + length % 3, length: length, heads: 4, kvHeads: $0, headSize: 8) }
        } + [
            Sizes(batch: 2, length: 257, heads: 2, kvHeads: 2, headSize: 5),
            Sizes(batch: 1, length: 513, heads: 4, kvHeads: 1, headSize: 3),
            Sizes(batch: 1, length: 530, heads: 8, kvHeads: 2, headSize: 16),
        ]

    struct Case {
        let q, k, v, dy: NDArray
        let expected: BlockedAttention.Reference

        init(_ sizes: Sizes, _ dtype: DType, seed: UInt64, in range: ClosedRange<Float> = -2...2) throws {
            var random = SeededGenerator(seed: seed)
            let shape = [sizes.batch, sizes.length, sizes.heads, sizes.headSize]
            let kvShape = [sizes.batch, sizes.length, sizes.kvHeads, sizes.headSize]
            (q, dy) = (try random.array(shape, dtype, in: range), try random.array(shape, dtype))
            (k, v) = (try random.array(kvShape, dtype, in: range), try random.array(kvShape, dtype))
            expected = BlockedAttention.Reference(
                try AttentionShape(q, k, v), q: q.doubles, k: k.doubles, v: v.doubles, dy: dy.doubles)
        }
    }

    @Test(arguments: grid, floatTypes)
    func matchesDouble(sizes: Sizes, dtype: DType) throws {
        let test = try Case(sizes, dtype, seed: UInt64(sizes.length + sizes.kvHeads))
        for budget in [1, 100_000, BlockedAttention.defaultBudgetBytes] {
            try check(test, budget, dtype)
        }
    }

    private func check(_ test: Case, _ budget: Int, _ dtype: DType) throws {
        let (q, k, v) = (test.q, test.k, test.v)
        let (y, lse) = try BlockedAttention.forward(q: q, k: k, v: v, budgetBytes: budget)
        let (dq, dk, dv) = try BlockedAttention.backward(
            dy: test.dy, q: q, k: k, v: v, output: y, logSumExp: lse, budgetBytes: budget)
        let expected = test.expected
        let bound = bound(dtype, terms: 40)
        // Steps of f16 end at 2^-24, so that small p and ds lose up to half of that a term, of size 2 at most.
        let floor = dtype == .f16 ? Double(q.shape[1]) * 0x1p-24 : 0
        #expect(worst(y, expected.output, floor) < bound, "o, budget \(budget)")
        #expect(worst(dq, expected.dq, floor) < bound, "dq, budget \(budget)")
        #expect(worst(dk, expected.dk, floor) < bound, "dk, budget \(budget)")
        #expect(worst(dv, expected.dv, floor) < bound, "dv, budget \(budget)")
        // Scores of up to 12 or so, of which fp32 keeps 24 bits.
        #expect(relativeError(lse.doubles, expected.logSumExp, scale: 12) < 4e-7)
    }

    /// The largest error, less a floor, relative to the size of its element's terms.
    private func worst(
        _ found: NDArray, _ expected: BlockedAttention.Reference.Quantity, _ floor: Double
    ) -> Double {
        let values = found.doubles
        guard values.count == expected.values.count else { return .infinity }
        return values.indices.map { i in
            let error = abs(values[i] - expected.values[i])
            return error.isFinite ? max(0, error - floor) / max(expected.sizes[i], 1e-30) : .infinity
        }.max() ?? 0
    }

    /// Finite differences of the reference in Double agree with its gradients.
    @Test func referenceAgreesWithFiniteDifferences() throws {
        let sizes = Sizes(batch: 1, length: 5, heads: 2, kvHeads: 1, headSize: 3)
        let test = try Case(sizes, .f32, seed: 4)
        let shape = try AttentionShape(test.q, test.k, test.v)
        let inputs = [test.q.doubles, test.k.doubles, test.v.doubles], dy = test.dy.doubles
        func loss(_ x: [[Double]]) -> Double {
            let result = BlockedAttention.Reference(shape, q: x[0], k: x[1], v: x[2], dy: dy)
            return zip(result.output.values, dy).reduce(0) { $0 + $1.0 * $1.1 }
        }
        let gradients = [test.expected.dq.values, test.expected.dk.values, test.expected.dv.values]
        for (i, gradient) in gradients.enumerated() {
            let differences = inputs[i].indices.map { j in
                var (above, below) = (inputs, inputs)
                above[i][j] += 1e-5
                below[i][j] -= 1e-5
                return (loss(above) - loss(below)) / 2e-5
            }
            #expect(relativeError(differences, gradient) < 1e-8)
        }
    }

    /// Sums over queries do not depend on how many heads fit the budget.
    @Test func budgetsOfManyHeadsGiveTheSameBits() throws {
        let sizes = Sizes(batch: 2, length: 300, heads: 4, kvHeads: 2, headSize: 8)
        let test = try Case(sizes, .bf16, seed: 9)
        let (q, k, v) = (test.q, test.k, test.v)
        // Enough for the queries of one key head; for all of them.
        let results = try [3 << 20, 64 << 20].map { budget in
            let (y, lse) = try BlockedAttention.forward(q: q, k: k, v: v, budgetBytes: budget)
            let gradients = try BlockedAttention.backward(
                dy: test.dy, q: q, k: k, v: v, output: y, logSumExp: lse, budgetBytes: budget)
            return [y, lse, gradients.dq, gradients.dk, gradients.dv].map(\.floats)
        }
        for (a, b) in zip(results[0], results[1]) { #expect(firstDifference(a, b) == nil) }
    }

    @Test func largeScoresDoNotOverflow() throws {
        let sizes = Sizes(batch: 1, length: 40, heads: 2, kvHeads: 2, headSize: 4)
        let test = try Case(sizes, .f32, seed: 6, in: -200...200)
        let (y, lse) = try BlockedAttention.forward(q: test.q, k: test.k, v: test.v)
        // Scores of up to 80,000 have an error of up to 0.02 in fp32; lse keeps their digits.
        #expect(relativeError(lse.doubles, test.expected.logSumExp) < 4e-7)
        #expect(y.floats.allSatisfy { $0.isFinite && abs($0) <= 200.1 })
        let (dq, dk, dv) = try BlockedAttention.backward(
            dy: test.dy, q: test.q, k: test.k, v: test.v, output: y, logSumExp: lse)
        for gradient in [dq, dk, dv] {
            let isFinite = gradient.floats.allSatisfy { $0.isFinite }
            #expect(isFinite)
        }
    }

    /// A key of NaN reaches its own and later queries, and leaves no trace in earlier ones.
    @Test func hiddenKeysCountForNothing() throws {
        let sizes = Sizes(batch: 1, length: 40, heads: 2, kvHeads: 1, headSize: 4)
        let test = try Case(sizes, .f32, seed: 7)
        let (place, width) = (20, sizes.heads * sizes.headSize)
        var values = test.k.floats
        for i in (place * 4)..<((place + 1) * 4) { values[i] = .nan }
        let k = try NDArray(values, test.k.shape)
        let (y, _) = try BlockedAttention.forward(q: test.q, k: k, v: test.v, budgetBytes: 1)
        let (clean, _) = try BlockedAttention.forward(q: test.q, k: test.k, v: test.v, budgetBytes: 1)
        let (found, expected) = (y.floats, clean.floats)
        #expect(firstDifference(found[..<(place * width)], expected[..<(place * width)]) == nil)
        let isReached = found[(place * width)...].allSatisfy { $0.isNaN }
        #expect(isReached)
    }

    @Test func memoryGrowsLinearly() throws {
        var random = SeededGenerator(seed: 1)
        func peak(_ length: Int) throws -> Int {
            let device = Device(name: "measured")
            let q = try random.array([1, length, 1, 4], device: device)
            let before = device.bytesInUse
            device.resetPeak()
            let (y, lse) = try BlockedAttention.forward(q: q, k: q, v: q, budgetBytes: 1 << 20)
            _ = try BlockedAttention.backward(
                dy: q, q: q, k: q, v: q, output: y, logSumExp: lse, budgetBytes: 1 << 20)
            return device.peakBytes - before
        }
        // Scores of 4,096 queries and keys would be 64 MiB. A block has four arrays of the budget's size, scores
        // and their gradients before and after the softmax; results and sums are some numbers a token.
        let (short, long) = (try peak(1024), try peak(4096))
        #expect(long < 5 << 20 && long - short < 3072 * 600)
    }

    /// What a pass takes is known before it runs: packed or not, of few keys and of several blocks.
    @Test(
        arguments: [
            Sizes(batch: 2, length: 65, heads: 4, kvHeads: 2, headSize: 8),
            Sizes(batch: 2, length: 130, heads: 2, kvHeads: 2, headSize: 8),
            Sizes(batch: 1, length: 300, heads: 4, kvHeads: 1, headSize: 4),
        ], [20_000, 1 << 22])
    func memoryIsPlanned(sizes: Sizes, budget: Int) throws {
        var random = SeededGenerator(seed: 3)
        let device = Device(name: "measured")
        let q = try random.array([sizes.batch, sizes.length, sizes.heads, sizes.headSize], device: device)
        let k = try random.array([sizes.batch, sizes.length, sizes.kvHeads, sizes.headSize], device: device)
        let shape = try AttentionShape(q, k, k)
        func planned(isBackward: Bool) -> Int {
            BlockedAttention.workspaceBytes(shape, dtype: .f32, isBackward: isBackward, budgetBytes: budget)
        }
        var before = device.bytesInUse
        device.resetPeak()
        let (y, lse) = try BlockedAttention.forward(q: q, k: k, v: k, budgetBytes: budget)
        let results = y.byteCount + lse.byteCount
        #expect(device.peakBytes - before == planned(isBackward: false) + results)
        before = device.bytesInUse
        device.resetPeak()
        _ = try BlockedAttention.backward(
            dy: q, q: q, k: k, v: k, output: y, logSumExp: lse, budgetBytes: budget)
        let gradients = q.byteCount + 2 * k.byteCount
        #expect(device.peakBytes - before == planned(isBackward: true) + gradients)
    }

    @Test func refusesShapesThatDoNotFit() throws {
        let q = try NDArray.zeros([1, 2, 4, 8]), k = try NDArray.zeros([1, 2, 3, 8])
        #expect(throws: RuntimeError.self) { try BlockedAttention.forward(q: q, k: k, v: k) }
        let two = try NDArray.zeros([1, 2, 2, 8]), lse = try NDArray.zeros([1, 2, 4])
        #expect(throws: RuntimeError.self) {
            try BlockedAttention.backward(dy: q, q: q, k: two, v: two, output: q, logSumExp: lse)
        }
        let narrow = try NDArray.zeros([1, 2, 4, 8], dtype: .bf16)
        #expect(throws: RuntimeError.self) { try BlockedAttention.forward(q: q, k: narrow, v: narrow) }
    }
}
