import FakeCUDA
import LigerKernels
import LigerRuntime
import TestSupport
import Testing
import Tile

/// Flash attention by a cuDNN that computes what its graph says, operation by operation.
@Suite(.onFakeGPU) struct FlashAttentionTests {
    struct Case: CustomTestStringConvertible, Sendable {
        let shape: AttentionShape
        /// Whether the backward pass goes by single key heads.
        var isTight = false

        init(_ batch: Int, _ length: Int, _ heads: Int, _ kvHeads: Int, _ size: Int, tight: Bool = false) {
            shape = AttentionShape(
                batch: batch, length: length, heads: heads, kvHeads: kvHeads, headSize: size)
            isTight = tight
        }

        var budget: Int {
            isTight
                ? FlashAttention.leastBudgetBytes(shape, dtype: .bf16)
                : FlashAttention.defaultBudgetBytes
        }

        var testDescription: String {
            "\(shape.batch)x\(shape.length)x\(shape.heads)/\(shape.kvHeads)x\(shape.headSize)"
                + (isTight ? " by key heads" : "")
        }
    }

    /// Heads alone, sharing keys in twos and all; one sequence and several.
    static let cases = [
        Case(1, 2, 1, 1, 8), Case(2, 5, 4, 2, 16), Case(2, 5, 4, 2, 16, tight: true), Case(3, 9, 3, 3, 8),
        Case(1, 17, 8, 1, 24), Case(2, 33, 4, 4, 8, tight: true),
    ]

    private struct Operands {
        let q, k, v, dy: NDArray
        let expected: BlockedAttention.Reference

        init(_ shape: AttentionShape, on device: Device) throws {
            var random = SeededGenerator(seed: 71)
            func array(_ heads: Int) throws -> NDArray {
                let sizes = [shape.batch, shape.length, heads, shape.headSize]
                let values = (0..<sizes.reduce(1, *)).map { _ in Float.random(in: -2...2, using: &random)
                }
                return try NDArray(values, sizes, dtype: .bf16, device: device)
            }
            (q, dy) = (try array(shape.heads), try array(shape.heads))
            (k, v) = (try array(shape.kvHeads), try array(shape.kvHeads))
            expected = BlockedAttention.Reference(
                shape, q: q.doubles, k: k.doubles, v: v.doubles, dy: dy.doubles)
        }
    }

    @Test(arguments: cases) func isTheFormula(test: Case) throws {
        let device = try makeFakeDevice(cudnn: true)
        let x = try Operands(test.shape, on: device)
        let (y, lse) = try FlashAttention.forward(q: x.q, k: x.k, v: x.v, budgetBytes: test.budget)
        let (dq, dk, dv) = try FlashAttention.backward(
            dy: x.dy, q: x.q, k: x.k, v: x.v, output: y, logSumExp: lse, budgetBytes: test.budget)
        // The parts of dk and dv of heads that share keys are rounded as well.
        let parts: Double = test.shape.group > 1 ? 2 : 1
        for (name, found, expected, roundings) in [
            ("o", y, x.expected.output, 1), ("dq", dq, x.expected.dq, 1),
            ("dk", dk, x.expected.dk, parts), ("dv", dv, x.expected.dv, parts),
        ] {
            for (i, value) in found.doubles.enumerated() {
                let bound = 0x1p-8 * 1.02 * roundings * expected.sizes[i] + 1e-5
                #expect(abs(value - expected.values[i]) <= bound, "\(name)[\(i)]")
            }
        }
        for (value, expected) in zip(lse.doubles, x.expected.logSumExp) {
            #expect(abs(value - expected) <= 1e-5)
        }
        let runs = test.isTight ? test.shape.batch * test.shape.kvHeads : 1
        #expect(fake.pointee.graph_runs == 1 + runs)
    }

    /// One plan for a shape, in the caller's stream, with memory of the pool, in no other context.
    @Test func keepsItsPlans() throws {
        let device = try makeFakeDevice(cudnn: true)
        let shape = Self.cases[1].shape
        let x = try Operands(shape, on: device)
        fake_cuda_enter_foreign_context()
        defer { fake_cuda_leave_foreign_context() }
        let stream = GPUStream(borrowing: 0x70, on: try device.context().gpu)
        var outputs: [[Double]] = []
        for _ in 0..<3 {
            try GPUStream.$given.withValue(stream) {
                let (y, lse) = try FlashAttention.forward(q: x.q, k: x.k, v: x.v)
                let gradients = try FlashAttention.backward(
                    dy: x.dy, q: x.q, k: x.k, v: x.v, output: y, logSumExp: lse)
                outputs.append(y.doubles + gradients.dq.doubles)
            }
        }
        #expect(outputs[0] == outputs[1] && outputs[1] == outputs[2])
        #expect(fake.pointee.graph_plans == 2 && fake.pointee.graph_runs == 6)
        #expect(UInt(bitPattern: fake.pointee.graph_stream) == 0x70)
        #expect(fake.pointee.graph_workspace_given != nil)
        #expect(fake_cuda_is_in_foreign_context() == 1)
        // Nothing is kept of a run.
        let alive = fake.pointee.descriptors
        _ = try FlashAttention.forward(q: x.q, k: x.k, v: x.v)
        #expect(fake.pointee.descriptors == alive)
    }

    @Test func canBeCaptured() throws {
        let device = try makeFakeDevice(cudnn: true)
        let shape = Self.cases[1].shape
        let x = try Operands(shape, on: device)
        let (expected, _) = try FlashAttention.forward(q: x.q, k: x.k, v: x.v)
        var output: NDArray?
        let graph = try device.capture {
            output = try FlashAttention.forward(q: x.q, k: x.k, v: x.v).output
        }
        #expect(fake.pointee.graph_runs == 1)
        try graph.launch()
        #expect(output?.doubles == expected.doubles && fake.pointee.graph_runs == 2)
    }

    @Test func saysItsMemoryBeforehand() throws {
        let device = try makeFakeDevice(cudnn: true)
        fake.pointee.graph_workspace = 1 << 20
        let shape = Self.cases[3].shape
        let x = try Operands(shape, on: device)
        let (y, lse) = try FlashAttention.forward(q: x.q, k: x.k, v: x.v)
        let before = device.bytesInUse
        device.resetPeak()
        _ = try FlashAttention.backward(
            dy: x.dy, q: x.q, k: x.k, v: x.v, output: y, logSumExp: lse)
        let stated = try FlashAttention.workspaceBytes(
            shape, dtype: .bf16, device: device, isBackward: true)
        let results = x.q.byteCount + x.k.byteCount + x.v.byteCount
        #expect(device.peakBytes - before == stated + results)
        #expect(stated == (1 << 20) + 4 * 3 * 3 * 9)
    }

    /// Why flash attention cannot be had, and what runs then.
    @Test func refusesWhatItCannotDo() throws {
        let device = try makeFakeDevice(cudnn: true)
        func refusal(_ test: Case, _ dtype: DType = .bf16, budget: Int = 1 << 30) -> String {
            FlashAttention.refusal(test.shape, dtype: dtype, device: device, budgetBytes: budget) ?? ""
        }
        #expect(refusal(Case(2, 64, 4, 2, 64)) == "")
        #expect(refusal(Case(2, 64, 4, 2, 64), .f32).contains("bf16 and f16, not f32"))
        #expect(refusal(Case(2, 64, 4, 2, 20)).contains("multiples of 8"))
        #expect(refusal(Case(2, 64, 4, 2, 264)).contains("up to 256"))
        #expect(refusal(Case(2, 1, 4, 2, 64)).contains("at least two tokens"))
        #expect(refusal(Case(1, 1000, 8, 1, 64), budget: 16 << 20).contains("17 MiB for one key head"))
        fake.pointee.refuses_graphs = 1
        #expect(refusal(Case(2, 65, 4, 2, 64)).contains("cuDNN status 3000, a failure (what the library"))
        #expect(refusal(Case(2, 64, 4, 2, 64)) == "", "what was planned stays planned")
        let without = try makeFakeDevice()
        let shape = Self.cases[0].shape
        #expect(
            FlashAttention.refusal(shape, dtype: .bf16, device: without)?.contains("without cuDNN")
                == true
        )
        #expect(
            FlashAttention.refusal(shape, dtype: .bf16, device: .cpu)?.contains("cpu is none") == true)
        fake.pointee.cudnn_version = 91500
        #expect(
            message { _ = try CUDNN(path: "fake") { fake_cuda_symbol($0) } }
                .contains("cuDNN 9.15.0; 9.16.0 is needed"))
    }

    @Test func failuresSayWhatToDo() throws {
        let device = try makeFakeDevice(cudnn: true)
        let x = try Operands(Self.cases[1].shape, on: device)
        fake.pointee.fails_graphs = 1
        #expect(
            message { _ = try FlashAttention.forward(q: x.q, k: x.k, v: x.v) }
                .contains("running cuDNN failed: cuDNN status 5000"))
        let shifted = try NDArray(empty: [2 * 5 * 4 * 16 + 1], dtype: .bf16, device: device)
            .sliced(0, 1..<641).reshaped([2, 5, 4, 16])
        fake.pointee.fails_graphs = 0
        #expect(
            message { _ = try FlashAttention.forward(q: shifted, k: x.k, v: x.v) }
                .contains("multiples of 16; q's is not"))
    }
}
