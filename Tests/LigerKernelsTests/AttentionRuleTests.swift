import FakeCUDA
import LigerKernels
import LigerRuntime
import TestSupport
import Testing
import Tile

/// Windows, softcaps, scales and documents that share rows, by blocks and by cuDNN's graph.
@Suite struct AttentionRuleTests {
    struct Case: CustomTestStringConvertible, Sendable {
        let length: Int
        let kvHeads: Int
        let rule: AttentionRule
        var documents: [[Int]]?

        var testDescription: String {
            "\(length) tokens, \(kvHeads) key heads, \(rule), documents \(documents ?? [])"
        }

        var shape: AttentionShape {
            AttentionShape(batch: 2, length: length, heads: 4, kvHeads: kvHeads, headSize: 8, rule: rule)
        }
    }

    /// A window of one key, within a block of 16 queries, of a block, across pieces of 512 keys, and beyond all keys;
    /// borders at blocks' borders and elsewhere, documents of one token, rows cut differently.
    static let cases: [Case] = [
        Case(length: 17, kvHeads: 4, rule: .init(window: 1)),
        Case(length: 65, kvHeads: 2, rule: .init(window: 7)),
        Case(length: 130, kvHeads: 1, rule: .init(window: 16)),
        Case(length: 700, kvHeads: 2, rule: .init(window: 37)),
        Case(length: 33, kvHeads: 2, rule: .init(window: 64)),
        Case(length: 33, kvHeads: 2, rule: .init(softcap: 1.5)),
        Case(length: 65, kvHeads: 4, rule: .init(scale: 0.7, window: 20, softcap: 2)),
        Case(length: 40, kvHeads: 2, rule: .causal, documents: [[0], [0, 1, 16, 33]]),
        Case(length: 300, kvHeads: 1, rule: .init(window: 50), documents: [[0, 256], [0, 100, 299]]),
        Case(
            length: 65, kvHeads: 2, rule: .init(window: 9, softcap: 1), documents: [[0, 64], [0, 32, 40]]),
    ]

    struct Operands {
        let q, k, v, dy: NDArray
        let expected: BlockedAttention.Reference

        init(_ test: Case, _ dtype: DType, on device: Device = .cpu) throws {
            var random = SeededGenerator(seed: UInt64(test.length))
            let sizes = [2, test.length, 4, 8], keySizes = [2, test.length, test.kvHeads, 8]
            (q, dy) = (
                try random.array(sizes, dtype, in: -2...2, device: device),
                try random.array(sizes, dtype, device: device)
            )
            (k, v) = (
                try random.array(keySizes, dtype, in: -2...2, device: device),
                try random.array(keySizes, dtype, device: device)
            )
            expected = BlockedAttention.Reference(
                test.shape, documents: test.documents, q: q.doubles, k: k.doubles, v: v.doubles,
                dy: dy.doubles)
        }

        /// The largest error of each result, relative to the size of its element's terms.
        func errors(_ y: NDArray, _ gradients: (dq: NDArray, dk: NDArray, dv: NDArray)) -> [Double] {
            zip(
                [y, gradients.dq, gradients.dk, gradients.dv],
                [expected.output, expected.dq, expected.dk, expected.dv]
            ).map { found, expected in
                zip(found.doubles, zip(expected.values, expected.sizes)).map { value, wanted in
                    let error = abs(value - wanted.0) / max(wanted.1, 1e-30)
                    return error.isFinite ? error : .infinity
                }.max() ?? 0
            }
        }
    }

    @Test(arguments: cases, [DType.f32, .bf16]) func blocksMatchDouble(test: Case, dtype: DType) throws {
        let x = try Operands(test, dtype)
        let documents = try test.documents.map {
            try DocumentBorders(starts: $0, length: test.length, device: .cpu)
        }
        for budget in [1, BlockedAttention.defaultBudgetBytes] {
            let (y, lse) = try BlockedAttention.forward(
                q: x.q, k: x.k, v: x.v, rule: test.rule, documents: documents, budgetBytes: budget)
            let gradients = try BlockedAttention.backward(
                dy: x.dy, q: x.q, k: x.k, v: x.v, output: y, logSumExp: lse, rule: test.rule,
                documents: documents, budgetBytes: budget)
            #expect(x.errors(y, gradients).allSatisfy { $0 < bound(dtype, terms: 40) }, "budget \(budget)")
            #expect(relativeError(lse.doubles, x.expected.logSumExp, scale: 12) < 4e-7)
        }
    }

    /// The reference's gradients are those of its values.
    @Test func referenceAgreesWithFiniteDifferences() throws {
        let test = Case(
            length: 6, kvHeads: 2, rule: .init(scale: 0.8, window: 3, softcap: 1), documents: [[0, 4], [0]])
        let x = try Operands(test, .f32)
        let inputs = [x.q.doubles, x.k.doubles, x.v.doubles], dy = x.dy.doubles
        func loss(_ x: [[Double]]) -> Double {
            let result = BlockedAttention.Reference(
                test.shape, documents: test.documents, q: x[0], k: x[1], v: x[2], dy: dy)
            return zip(result.output.values, dy).reduce(0) { $0 + $1.0 * $1.1 }
        }
        for (i, gradient) in [x.expected.dq, x.expected.dk, x.expected.dv].enumerated() {
            let differences = inputs[i].indices.map { j in
                var (above, below) = (inputs, inputs)
                above[i][j] += 1e-5
                below[i][j] -= 1e-5
                return (loss(above) - loss(below)) / 2e-5
            }
            #expect(relativeError(differences, gradient.values) < 1e-8)
        }
    }

    /// Blocks before the window are not computed: products grow with the window, not with the square of the length.
    @Test func windowsCostWhatTheySee() throws {
        func keys(window: Int?) -> Int {
            let shape = AttentionShape(
                batch: 1, length: 8192, heads: 2, kvHeads: 2, headSize: 8, rule: .init(window: window))
            return BlockedAttention.scoreCount(shape)
        }
        // A block of 256 queries sees the windows of all of them.
        #expect(keys(window: 512) <= 2 * 8192 * (512 + 256))
        #expect(keys(window: nil) >= 2 * 8192 * 4096)
        #expect(keys(window: 512) >= 2 * 8192 * 500)
    }

    @Test func refusesWhatMakesNoSense() throws {
        let x = try NDArray.zeros([1, 4, 1, 8])
        for rule in [
            AttentionRule(window: 0), AttentionRule(softcap: 0), AttentionRule(softcap: .infinity),
            AttentionRule(scale: .nan),
        ] {
            #expect(throws: RuntimeError.self) { try BlockedAttention.forward(q: x, k: x, v: x, rule: rule) }
        }
        for starts in [[1], [0, 0], [0, 4], [0, 3, 2], []] {
            #expect(throws: RuntimeError.self) {
                try DocumentBorders(starts: [starts], length: 4, device: .cpu)
            }
        }
        let other = try DocumentBorders(starts: [[0], [0]], length: 4, device: .cpu)
        #expect(throws: RuntimeError.self) {
            try BlockedAttention.forward(q: x, k: x, v: x, documents: other)
        }
    }
}

@Suite(.onFakeGPU) struct FlashAttentionRuleTests {
    /// cuDNN is asked for the window; windows that no sequence outgrows ask for nothing.
    @Test(arguments: [1, 4, 16, 17]) func windowsAreTheFormula(window: Int) throws {
        let device = try makeFakeDevice(cudnn: true)
        let test = AttentionRuleTests.Case(length: 17, kvHeads: 2, rule: .init(scale: 0.6, window: window))
        let x = try AttentionRuleTests.Operands(test, .bf16, on: device)
        let (y, lse) = try FlashAttention.forward(q: x.q, k: x.k, v: x.v, rule: test.rule)
        let gradients = try FlashAttention.backward(
            dy: x.dy, q: x.q, k: x.k, v: x.v, output: y, logSumExp: lse, rule: test.rule)
        // The parts of dk and dv of heads that share keys are rounded as well.
        #expect(x.errors(y, gradients).allSatisfy { $0 < 0x1p-7 * 1.02 })
        #expect(fake.pointee.graph_runs == 2)
    }

    @Test func softcapsAreRefused() throws {
        let device = try makeFakeDevice(cudnn: true)
        let shape = AttentionShape(
            batch: 1, length: 5, heads: 2, kvHeads: 2, headSize: 16, rule: .init(softcap: 50))
        let refusal = FlashAttention.refusal(shape, dtype: .bf16, device: device)
        #expect(refusal?.contains("bounds them by 50") == true)
    }
}
