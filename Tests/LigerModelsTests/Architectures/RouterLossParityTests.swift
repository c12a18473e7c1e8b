import LigerKernels
import LigerModels
import LigerNN
import LigerRuntime
import TestSupport
import Testing
import Tile

/// The loss of routers leaves padding out, as transformers' does with an attention mask.
@Suite(
    .serialized,
    .enabled(if: Python.transformers.shouldRun, Comment(rawValue: Python.transformers.skipReason)))
struct RouterLossParityTests {
    /// The same examples, as a step sees them.
    enum Form: CaseIterable {
        /// A row each, filled up.
        case padded
        /// In one row, and nothing else.
        case packed
        /// In one row with padding behind them.
        case packedAndPadded
    }

    private struct Rows {
        var ids: [Int] = [], labels: [Int] = [], starts: [Int] = []

        init(_ file: SafetensorsFile) throws {
            let ids = try file.array("input_ids"), length = ids.shape[1]
            let labels = try file.array("labels").integers, mask = try file.array("attention_mask").integers
            for (place, id) in ids.integers.enumerated() where mask[place] == 1 {
                if place % length == 0 { starts.append(self.ids.count) }
                self.ids.append(id)
                self.labels.append(labels[place])
            }
        }
    }

    private func step(_ decoder: Decoder, _ file: SafetensorsFile, _ form: Form, counts: Bool) throws
        -> Double
    {
        let tape = Tape()
        var loss: Tensor
        if form == .padded {
            loss = try decoder.loss(
                file.array("input_ids"), file.array("labels"),
                counted: counts ? file.array("attention_mask") : nil, on: tape)
        } else {
            var rows = try Rows(file)
            let count = rows.ids.count, padding = form == .packed ? 0 : 19
            rows.ids += Array(repeating: 0, count: padding)
            rows.labels += Array(repeating: -100, count: padding)
            if padding > 0 { rows.starts.append(count) }
            let shape = [1, count + padding]
            let counted = (0..<count + padding).map { $0 < count ? 1 : 0 }
            loss = try decoder.loss(
                NDArray(integers: rows.ids, shape, device: .cpu),
                NDArray(integers: rows.labels, shape, device: .cpu),
                documents: DocumentBorders(starts: [rows.starts], length: shape[1], device: .cpu),
                counted: counts && padding > 0
                    ? NDArray(integers: counted, shape, dtype: .i32, device: .cpu) : nil,
                on: tape)
        }
        try tape.backward(loss)
        return loss.value.doubles[0]
    }

    /// Fused and plain layers, blocks computed again, and examples that share a row.
    @Test(
        "Loss and gradients of padded rows within 1e-5",
        arguments: TransformersFixture.variantsWithRouterLoss, Form.allCases)
    func leavesPaddingOut(variant: String, form: Form) throws {
        let fixture = try TransformersFixture(variant), file = try fixture.padded()
        let expected = try file.array("loss").doubles[0]
        for kernels in [KernelSelection.liger, .reference] {
            let model = try CausalLanguageModel(folder: fixture.checkpoint, kernels: kernels)
            let loss = try step(model.decoder, file, form, counts: true)
            #expect(abs(loss - expected) <= 1e-5 * expected)
            for parameter in model.decoder.parameters {
                let gradient = try #require(parameter.gradient, "\(parameter.name)")
                let expected = try file.array("gradient." + parameter.name).doubles
                #expect(normError(gradient.doubles, expected) <= 1e-5, "\(parameter.name)")
            }
        }
    }

    /// That the comparison above can fail: padding that counts is beyond its bound.
    @Test(arguments: TransformersFixture.variantsWithRouterLoss)
    func paddingWouldCount(variant: String) throws {
        let fixture = try TransformersFixture(variant), file = try fixture.padded()
        let model = try CausalLanguageModel(folder: fixture.checkpoint)
        let expected = try file.array("loss").doubles[0]
        #expect(
            abs(try step(model.decoder, file, .padded, counts: false) - expected) > 1e-4 * expected)
    }
}
