import LigerKernels
import LigerNN
import LigerRuntime
import TestSupport
import Testing
import Tile

@Suite struct AttentionTests {
    struct Sizes: CustomTestStringConvertible, Sendable {
        let batch, length, heads, kvHeads, headSize: Int
        var testDescription: String { "\(batch) x \(length), \(heads)/\(kvHeads) heads of \(headSize)" }
    }

    /// One query, odd lengths, lengths around a block of 128 queries; heads alone, shared, shared by all.
    static let grid: [Sizes] = [1, 2, 3, 17, 65, 127, 128, 129, 300].flatMap { length in
        [4, 2, 1].map { Sizes(batch: 2, length: length, heads: 4, kvHeads: $0, headSize: 8) }
    }

    @Test(arguments: grid, [DType.f32, .bf16, .f16])
    func matchesDouble(sizes: Sizes, dtype: DType) throws {
        var random = SeededGenerator(seed: UInt64(sizes.length))
        let shape = [sizes.batch, sizes.length, sizes.heads, sizes.headSize]
        let kvShape = [sizes.batch, sizes.length, sizes.kvHeads, sizes.headSize]
        let (q, dy) = (try random.array(shape, dtype), try random.array(shape, dtype))
        let (k, v) = (try random.array(kvShape, dtype), try random.array(kvShape, dtype))
        let expected = BlockedAttention.Reference(
            try AttentionShape(q, k, v), q: q.doubles, k: k.doubles, v: v.doubles, dy: dy.doubles)
        let bound = dtype == .f32 ? 3e-6 : (dtype.epsilon ?? 0)
        let (output, saved) = try CausalAttention.forward(q: q, k: k, v: v)
        #expect(relativeError(output.doubles, expected.output.values) < bound)
        let (dq, dk, dv) = try CausalAttention.backward(dy: dy, q: q, k: k, v: v, saved: saved)
        if sizes.length == 1 {
            // One key: its probability is 1 whatever q and k are.
            #expect(dq.doubles.allSatisfy { abs($0) < 1e-5 } && dk.doubles.allSatisfy { abs($0) < 1e-5 })
        } else {
            #expect(relativeError(dq.doubles, expected.dq.values) < bound)
            #expect(relativeError(dk.doubles, expected.dk.values) < bound)
        }
        #expect(relativeError(dv.doubles, expected.dv.values) < bound)
    }

    /// A GPU's way, through the tape: the kernels of blocks run, and gradients are those of Double.
    @Test func goesByBlocksOnRequest() throws {
        var random = SeededGenerator(seed: 12)
        let q = try random.parameter("q", [2, 33, 4, 8]), k = try random.parameter("k", [2, 33, 2, 8])
        let v = try random.parameter("v", [2, 33, 2, 8]), weights = try random.array([2, 33, 4, 8])
        let expected = BlockedAttention.Reference(
            try AttentionShape(q.value, k.value, v.value), q: q.value.doubles, k: k.value.doubles,
            v: v.value.doubles, dy: weights.doubles)
        let kernels = try CausalAttention.$isAlwaysBlocked.withValue(true) {
            try LaunchRecorder.kernels {
                let tape = Tape()
                let y = try tape.tensor(of: q).attending(to: tape.tensor(of: k), tape.tensor(of: v))
                #expect(relativeError(y.value.doubles, expected.output.values) < 3e-6)
                try tape.backward(y.weightedSum(weights))
            }
        }
        let names = kernels.map(\.name)
        #expect(names.contains("AttentionExponentials") && names.contains("AttentionGradients"))
        for (parameter, quantity) in [(q, expected.dq), (k, expected.dk), (v, expected.dv)] {
            #expect(relativeError(parameter.gradient?.doubles ?? [], quantity.values) < 3e-6)
        }
    }

    @Test func memoryGrowsLinearly() throws {
        var random = SeededGenerator(seed: 1)
        func peak(_ length: Int) throws -> Int {
            let device = Device(name: "measured")
            let q = try random.array([1, length, 1, 4], device: device)
            device.resetPeak()
            let before = device.bytesInUse
            _ = try CausalAttention.forward(q: q, k: q, v: q)
            return device.peakBytes - before
        }
        // Scores of 4,096 queries and keys would be 64 MiB.
        #expect(try peak(4096) < 2 << 20)
    }

    /// On one thread the counters see exactly what is stated; more threads take no more.
    @Test(arguments: [1, 3], [DType.f32, .bf16]) func workspaceIsWhatIsStated(threads: Int, dtype: DType)
        throws
    {
        try ThreadPool.$override.withValue(ThreadPool(threadCount: threads)) {
            let device = Device(name: "measured")
            var random = SeededGenerator(seed: 3)
            let q = try random.array([2, 200, 4, 8], dtype, device: device)
            let k = try random.array([2, 200, 2, 8], dtype, device: device)
            let shape = try AttentionShape(q, k, k)
            for isBackward in [false, true] {
                device.resetPeak()
                let before = device.bytesInUse
                if isBackward {
                    _ = try CausalAttention.backward(dy: q, q: q, k: k, v: k, saved: nil)
                } else {
                    _ = try CausalAttention.forward(q: q, k: k, v: k)
                }
                let results = q.byteCount + (isBackward ? 2 * k.byteCount : 0)
                let taken = device.peakBytes - before - results
                let stated = CausalAttention.workspaceBytes(shape, dtype, isBackward: isBackward)
                #expect(threads == 1 ? taken == stated : taken <= stated, "\(taken) of \(stated)")
            }
        }
    }

    @Test func refusesShapesThatDoNotFit() throws {
        let q = try NDArray.zeros([1, 2, 4, 8]), k = try NDArray.zeros([1, 2, 3, 8])
        #expect(throws: RuntimeError.self) { try CausalAttention.forward(q: q, k: k, v: k) }
        let short = try NDArray.zeros([1, 1, 2, 8])
        #expect(throws: RuntimeError.self) { try CausalAttention.forward(q: q, k: short, v: short) }
        let flat = try NDArray.zeros([2, 8])
        #expect(throws: RuntimeError.self) { try CausalAttention.forward(q: flat, k: flat, v: flat) }
    }
}
