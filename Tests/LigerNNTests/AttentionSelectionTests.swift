import FakeCUDA
import LigerKernels
import LigerNN
import LigerRuntime
import TestSupport
import Testing
import Tile

/// Which attention runs where, and why.
@Suite(.onFakeGPU) struct AttentionSelectionTests {
    @Test func isVisible() throws {
        let shape = AttentionShape(batch: 2, length: 5, heads: 4, kvHeads: 2, headSize: 16)
        let device = try makeFakeDevice(cudnn: true)
        let flash = try AttentionSelection(.auto, shape, .bf16, on: device)
        #expect(flash == .flash(version: "9.19.0", path: "fake"))
        #expect(flash.summary == "flash, cuDNN 9.19.0 (fake)")
        let asked = try AttentionSelection(.blocked, shape, .bf16, on: device)
        #expect(asked.summary == "blocked")
        let single = try AttentionSelection(.auto, shape, .f32, on: device)
        #expect(single.name == "blocked" && single.summary?.contains("not f32") == true)
        #expect(
            message { _ = try AttentionSelection(.flash, shape, .f32, on: device) }
                .contains("flash attention cannot be had"))
        #expect(try AttentionSelection(.auto, shape, .f32, on: .cpu).summary == nil)
        #expect(throws: RuntimeError.self) { try AttentionSelection(.flash, shape, .f32, on: .cpu) }
        // The backward pass goes the way of the forward pass.
        var random = SeededGenerator(seed: 71)
        let q = try random.array([2, 5, 4, 16], .bf16, device: device)
        let k = try random.array([2, 5, 2, 16], .bf16, device: device)
        let runs = fake.pointee.graph_runs
        for (method, expected) in [(AttentionMethod.auto, Int32(2)), (.flash, 2), (.blocked, 0)] {
            let before = fake.pointee.graph_runs
            let (_, saved) = try CausalAttention.forward(q: q, k: k, v: k, method: method)
            _ = try CausalAttention.backward(dy: q, q: q, k: k, v: k, saved: saved)
            #expect(fake.pointee.graph_runs - before == expected)
        }
        #expect(fake.pointee.graph_runs > runs)
    }
}
