import Foundation
import LigerKernels
import LigerNN
import LigerRuntime
import TestSupport
import Testing
import Tile

/// Windows, softcaps, scales and documents that share rows, head by head on the processor.
@Suite struct CausalAttentionRuleTests {
    struct Case: CustomTestStringConvertible, Sendable {
        let length: Int
        let rule: AttentionRule
        var documents: [[Int]]?
        var testDescription: String { "\(length) tokens, \(rule), documents \(documents ?? [])" }
    }

    /// Windows within a block of 128 queries, of a block and across blocks; documents of one token and of several blocks.
    static let cases = [
        Case(length: 17, rule: .init(window: 1)), Case(length: 130, rule: .init(window: 7)),
        Case(length: 300, rule: .init(window: 128)), Case(length: 300, rule: .init(window: 150)),
        Case(length: 40, rule: .init(softcap: 1.5)),
        Case(length: 140, rule: .init(scale: 0.7, window: 20, softcap: 2)),
        Case(length: 300, rule: .causal, documents: [[0, 1, 140], [0]]),
        Case(length: 300, rule: .init(window: 50, softcap: 1), documents: [[0, 256], [0, 100, 299]]),
    ]

    @Test(arguments: cases, [DType.f32, .bf16, .f16]) func matchesDouble(test: Case, dtype: DType) throws {
        var random = SeededGenerator(seed: UInt64(test.length))
        let sizes = [2, test.length, 4, 8], keySizes = [2, test.length, 2, 8]
        let (q, dy) = (try random.array(sizes, dtype), try random.array(sizes, dtype))
        let (k, v) = (try random.array(keySizes, dtype), try random.array(keySizes, dtype))
        let documents = try test.documents.map {
            try DocumentBorders(starts: $0, length: test.length, device: .cpu)
        }
        let expected = BlockedAttention.Reference(
            try AttentionShape(q, k, v, rule: test.rule), documents: test.documents, q: q.doubles,
            k: k.doubles, v: v.doubles, dy: dy.doubles)
        let (output, saved) = try CausalAttention.forward(
            q: q, k: k, v: v, rule: test.rule, documents: documents)
        let (dq, dk, dv) = try CausalAttention.backward(
            dy: dy, q: q, k: k, v: v, rule: test.rule, documents: documents, saved: saved)
        let bound = dtype == .f32 ? 3e-6 : (dtype.epsilon ?? 0)
        #expect(relativeError(output.doubles, expected.output.values) < bound)
        #expect(relativeError(dv.doubles, expected.dv.values) < bound)
        if test.rule.window == 1 {
            // One key: its probability is 1 whatever q and k are.
            #expect(dq.doubles.allSatisfy { abs($0) < 1e-5 } && dk.doubles.allSatisfy { abs($0) < 1e-5 })
        } else {
            #expect(relativeError(dq.doubles, expected.dq.values) < bound)
            #expect(relativeError(dk.doubles, expected.dk.values) < bound)
        }
    }

    /// What is stated of memory follows the window and the softcap.
    @Test(arguments: [AttentionRule(window: 10), .init(window: 150, softcap: 3)], [DType.f32, .bf16])
    func workspaceIsWhatIsStated(rule: AttentionRule, dtype: DType) throws {
        try ThreadPool.$override.withValue(ThreadPool(threadCount: 1)) {
            let device = Device(name: "measured")
            var random = SeededGenerator(seed: 3)
            let q = try random.array([2, 400, 4, 8], dtype, device: device)
            let k = try random.array([2, 400, 2, 8], dtype, device: device)
            let shape = try AttentionShape(q, k, k, rule: rule)
            for isBackward in [false, true] {
                device.resetPeak()
                let before = device.bytesInUse
                if isBackward {
                    _ = try CausalAttention.backward(dy: q, q: q, k: k, v: k, rule: rule, saved: nil)
                } else {
                    _ = try CausalAttention.forward(q: q, k: k, v: k, rule: rule)
                }
                let results = q.byteCount + (isBackward ? 2 * k.byteCount : 0)
                let stated = CausalAttention.workspaceBytes(shape, dtype, isBackward: isBackward)
                #expect(device.peakBytes - before - results == stated)
            }
        }
    }

    /// A document's numbers do not depend on where in a row it lies, nor on what else is there.
    @Test func documentsAreAsIfAlone() throws {
        var random = SeededGenerator(seed: 5)
        let q = try random.array([1, 211, 4, 8]), k = try random.array([1, 211, 2, 8])
        let dy = try random.array([1, 211, 4, 8])
        let documents = try DocumentBorders(starts: [[0, 50, 60]], length: 211, device: .cpu)
        let whole = try CausalAttention.forward(q: q, k: k, v: k, documents: documents).output
        let gradients = try CausalAttention.backward(
            dy: dy, q: q, k: k, v: k, documents: documents, saved: nil)
        for range in documents.ranges(ofRow: 0) {
            func part(_ x: NDArray) throws -> NDArray {
                let copy = try NDArray(empty: [1, range.count] + x.shape.dropFirst(2))
                try Elementwise.copyRows(
                    x.reshaped([211, x.count / 211]).sliced(0, range),
                    into: copy.reshaped([range.count, x.count / 211]))
                return copy
            }
            let alone = try CausalAttention.forward(q: part(q), k: part(k), v: part(k)).output
            #expect(try part(whole).floats == alone.floats)
            let own = try CausalAttention.backward(
                dy: part(dy), q: part(q), k: part(k), v: part(k), saved: nil)
            #expect(try part(gradients.dq).floats == own.dq.floats)
            #expect(try part(gradients.dk).floats == own.dk.floats)
            #expect(try part(gradients.dv).floats == own.dv.floats)
        }
    }

    @Test func softcapsOfTensorsMatchDouble() throws {
        let error = try worstError([[3, 37]], in: -8...8, seed: 2) {
            try $0[0].softcapped(by: 3)
        } _: { x in
            x[0].map { 3 * tanh($0 / 3) }
        }
        #expect(error < 2e-6)
    }
}
