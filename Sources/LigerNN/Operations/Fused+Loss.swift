import LigerKernels
package import LigerLosses
package import LigerRuntime

extension Fused {
    /// Mean cross entropy over logits [tokens, vocabulary], which are given up: the gradient takes their
    /// memory.
    package static func crossEntropy(
        _ logits: Tensor, labels: NDArray, ignoreIndex: Int, softcap: Float? = nil, normaliser: NDArray?
    ) throws -> Tensor {
        let result = try CrossEntropy.forward(
            logits: logits.value, labels: labels,
            options: CrossEntropy.Options(ignoreIndex: ignoreIndex, softcap: softcap),
            normaliser: normaliser, wants: logits.requiresGradient ? [.gradient, .scale] : [],
            givingUpLogits: logits.requiresGradient)
        let (gradient, scales) = (result.gradient, result.gradientScales)
        return logits.tape.record(result.loss, from: [logits]) { upstream in
            [try scaled(gradient, scales, by: upstream)]
        }
    }

    /// Mean cross entropy from hidden states x [tokens, hidden size] and the head's weight, chunk by chunk.
    package static func linearCrossEntropy(
        _ x: Tensor, weight: Tensor, labels: NDArray, _ options: LossOptions, softcap: Float? = nil,
        normaliser: NDArray?
    ) throws -> Tensor {
        try linearLoss(x, weight: weight) { head, needs in
            let result = try FusedLinearCrossEntropy.forward(
                input: head.input, weight: head.weight, labels: labels,
                options: FusedLinearCrossEntropy.Options(
                    CrossEntropy.Options(ignoreIndex: options.ignoreIndex, softcap: softcap),
                    budgetBytes: options.budgetBytes),
                normaliser: normaliser, needs: needs)
            return HeadLoss(
                result.loss, dInput: result.dInput, dWeight: result.dWeight, scales: result.scales)
        }
    }

    /// Any loss of hidden states x [tokens, hidden size] and the head's weight that comes with its gradients.
    ///
    /// - Parameters:
    ///   - share: one f32 that loss and gradients are multiplied by; nil is 1.
    ///   - compute: the loss, with the gradients that are needed.
    package static func linearLoss(
        _ x: Tensor, weight: Tensor, share: NDArray? = nil,
        _ compute: (LinearHead, LinearNeeds) throws -> HeadLoss
    ) throws -> Tensor {
        var needs: LinearNeeds = .scales
        if x.requiresGradient { needs.insert(.input) }
        if weight.requiresGradient { needs.insert(.weight) }
        let result = try compute(LinearHead(input: x.value, weight: weight.value), needs)
        let (loss, dx, dw, scales) = (result.loss, result.dInput, result.dWeight, result.scales)
        if let share {
            for array in [loss.reshaped([1, 1]), scales.input ?? dx, scales.weight ?? dw] {
                if let array { try CrossEntropy.scale(array, by: share) }
            }
        }
        return x.tape.record(loss, from: [x, weight]) { upstream in
            [try scaled(dx, scales.input, by: upstream), try scaled(dw, scales.weight, by: upstream)]
        }
    }

    /// A gradient times the upstream one, and times the scales of its rows where those are kept apart.
    private static func scaled(
        _ gradient: NDArray?, _ scales: NDArray?, by upstream: Upstream
    ) throws -> Contribution {
        guard let gradient else { return .none }
        if !upstream.isOne { try CrossEntropy.scale(scales ?? gradient, by: upstream.array) }
        if let scales { try CrossEntropy.scale(gradient, by: scales) }
        return .array(gradient)
    }
}

/// A loss of hidden states and a head's weight, with its gradients.
package struct HeadLoss {
    /// [], f32.
    let loss: NDArray
    /// Like the hidden states; nil where not needed.
    let dInput: NDArray?
    /// Like the weight; nil where not needed.
    let dWeight: NDArray?
    /// What these still have to be multiplied by.
    let scales: LinearScales

    package init(_ loss: NDArray, dInput: NDArray?, dWeight: NDArray?, scales: LinearScales) {
        self.loss = loss
        self.dInput = dInput
        self.dWeight = dWeight
        self.scales = scales
    }
}
