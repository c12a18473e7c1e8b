package import LigerKernels
package import LigerRuntime

extension Fused {
    /// The weights of choices, [tokens, K], f32, that `Routing.forward` found.
    package static func routing(
        _ scores: Tensor, _ options: Routing.Options, _ found: (weights: NDArray, choices: NDArray)
    ) throws -> Tensor {
        let x = scores.value
        return scores.tape.record(found.weights, from: [scores]) { upstream in
            [
                .array(
                    try Routing.backward(
                        dWeights: upstream.array, scores: x, weights: found.weights, choices: found.choices,
                        options))
            ]
        }
    }

    /// What chosen experts make of the rows of x, added up by weights; see `Experts`.
    ///
    /// - Parameters:
    ///   - weights: [tokens, K], f32.
    ///   - choices: [tokens, K], i32.
    ///   - method: nil takes what suits sizes and device.
    package static func experts(
        _ x: Tensor, _ gateUp: Tensor, _ down: Tensor, weights: Tensor, choices: NDArray,
        method: ExpertMethod? = nil
    ) throws -> Tensor {
        let inner = down.shape[2]
        let method =
            method ?? ExpertMethod(hidden: x.shape[1], inner: inner, x.dtype, on: x.value.device)
        switch method {
        case .kernels: return try expertsInKernels(x, gateUp, down, weights, choices)
        case .products: return try groupedExperts(x, gateUp, down, weights, choices)
        }
    }

    private static func needs(
        _ x: Tensor, _ gateUp: Tensor, _ down: Tensor, _ weights: Tensor
    ) -> Experts.Needs {
        var needs: Experts.Needs = []
        if x.requiresGradient { needs.insert(.input) }
        if gateUp.requiresGradient { needs.insert(.gateUp) }
        if down.requiresGradient { needs.insert(.down) }
        if weights.requiresGradient { needs.insert(.choices) }
        return needs
    }

    private static func expertsInKernels(
        _ x: Tensor, _ gateUp: Tensor, _ down: Tensor, _ weights: Tensor, _ choices: NDArray
    ) throws -> Tensor {
        let matrices = SavedExperts(gateUp, down, weights)
        let rows = try ExpertRows(finding: choices, experts: gateUp.shape[0])
        let needs = needs(x, gateUp, down, weights), tape = x.tape
        let (y, gates) = try Experts.forward(
            x.value, matrices.arrays(), rows, keepsGates: tape.isRecording && !needs.isEmpty)
        let saved = x.saved
        return tape.record(y, from: [x, gateUp, down, weights]) { upstream in
            guard let gates else { preconditionFailure("gates are kept for a backward pass") }
            return contributions(
                try Experts.terms(
                    dy: upstream.array, x: try saved.array(), gates: gates, matrices.arrays(), rows,
                    needs: needs))
        }
    }

    private static func groupedExperts(
        _ x: Tensor, _ gateUp: Tensor, _ down: Tensor, _ weights: Tensor, _ choices: NDArray
    ) throws -> Tensor {
        let matrices = SavedExperts(gateUp, down, weights)
        let groups = try ExpertGroups(choices, experts: gateUp.shape[0])
        let needs = needs(x, gateUp, down, weights)
        let (y, gates) = try GroupedExperts.forward(x.value, matrices.arrays(), groups)
        let saved = x.saved
        return x.tape.record(y, from: [x, gateUp, down, weights]) { upstream in
            return contributions(
                try GroupedExperts.backward(
                    dy: upstream.array, x: { try saved.array() }, gates: gates, matrices.arrays(), groups,
                    needs: needs))
        }
    }

    /// To x, gates and ups, downs, and weights.
    private static func contributions(_ found: ExpertTerms) -> [Contribution] {
        [
            found.dInput.map { .array($0) } ?? .none, found.dGateUp.map { .product($0) } ?? .none,
            found.dDown.map { .product($0) } ?? .none, found.dChoices.map { .array($0) } ?? .none,
        ]
    }
}

extension ExpertTerm: SumTerm {}

/// Weights of experts and their choices, as derivatives save them.
private struct SavedExperts {
    private let gateUp: Saved
    private let down: Saved
    private let choices: NDArray

    init(_ gateUp: Tensor, _ down: Tensor, _ choices: Tensor) {
        (self.gateUp, self.down, self.choices) = (gateUp.saved, down.saved, choices.value)
    }

    func arrays() throws -> Experts.Weights {
        Experts.Weights(gateUp: try gateUp.array(), down: try down.array(), choices: choices)
    }
}
