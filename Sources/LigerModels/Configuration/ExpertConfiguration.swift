import LigerKernels
package import LigerNN
import LigerText

/// The experts of a family that has some, and what their routers do.
package struct ExpertConfiguration: Sendable, Hashable {
    /// Experts of a layer.
    package var count: Int
    /// Experts of a token.
    package var choices: Int
    /// Whether the weights of a token's experts add up to 1.
    package var normalises: Bool
    /// Whether the loss of routers is added to the loss (`output_router_logits`).
    package var hasLoss = false
    /// What that is multiplied by.
    package var lossWeight = 0.001

    package init(count: Int, choices: Int, normalises: Bool) {
        (self.count, self.choices, self.normalises) = (count, choices, normalises)
    }

    /// More than any model is known to have, and fewer than hostile sizes.
    private static let mostMatrices = 1 << 16

    /// Reads or writes how many experts there are, how many a token has, and the loss.
    ///
    /// - Parameters:
    ///   - countKeys: the names of the first: of those that a file has, all must agree.
    ///   - layers: of the model.
    package mutating func visit(
        _ keys: inout ConfigurationKeys, countKeys: [String], defaults: (count: Int, choices: Int),
        layers: Int
    ) {
        let name = visitCount(&keys, countKeys, default: defaults.count)
        keys.integer(
            "num_experts_per_tok", &choices, in: 1...Routing.mostChoices, default: defaults.choices)
        keys.check(
            choices <= count, "num_experts_per_tok", name, found: "\(choices) of \(count)",
            expected: "as many experts as a token has, at least")
        let (all, overflows) = count.multipliedReportingOverflow(by: max(0, layers))
        keys.check(
            !overflows && all <= Self.mostMatrices, name, "num_hidden_layers",
            found: "\(count) and \(layers)",
            expected: "\(Self.mostMatrices) experts of all layers at most")
        keys.flag("output_router_logits", &hasLoss, default: false)
        keys.number(
            "router_aux_loss_coef", &lossWeight, default: 0.001, expected: "a finite number of at least 0"
        ) {
            $0 >= 0 && Float($0).isFinite
        }
    }

    /// - Returns: the key that says it.
    private mutating func visitCount(
        _ keys: inout ConfigurationKeys, _ names: [String], default standard: Int
    ) -> String {
        let given = names.filter { !keys.isReading || keys.value($0) != nil }
        guard let name = given.first else {
            keys.integer(names[0], &count, in: 1...Routing.mostExperts, default: standard)
            return names[0]
        }
        for other in names { keys.refuse(other, unless: { _ in true }, expected: "") }
        keys.integer(name, &count, in: 1...Routing.mostExperts)
        for other in given.dropFirst() {
            var same = count
            keys.integer(other, &same, in: 1...Routing.mostExperts)
            keys.check(
                same == count, name, other, found: "\(count) and \(same)", expected: "one number")
        }
        return name
    }

    /// What the loss of routers is multiplied by; nil where there is none.
    var routerLossWeight: Double? { hasLoss ? lossWeight : nil }
}

extension DecoderConfiguration {
    /// A feed-forward layer of experts.
    ///
    /// - Parameter inner: rows of an expert's gate.
    package func sparseFeedForward(
        _ scope: ParameterScope, _ experts: ExpertConfiguration, inner: Int,
        names: SparseFeedForward.Names = .init()
    ) -> SparseFeedForward {
        SparseFeedForward(
            scope,
            ExpertSizes(
                count: experts.count, hidden: hiddenSize, inner: inner,
                routing: .init(choices: experts.choices, normalises: experts.normalises)), names: names)
    }
}
