import LigerKernels
import LigerLosses
package import LigerRuntime

extension Fused {
    /// Mean cross entropy over logits [tokens, vocabulary], which are given up: the gradient takes their
    /// memory.
    package static func crossEntropy(
        _ logits: Tensor, labels: NDArray, ignoreIndex: Int, normaliser: NDArray?
    ) throws -> Tensor {
        let result = try CrossEntropy.forward(
            logits: logits.value, labels: labels, options: CrossEntropy.Options(ignoreIndex: ignoreIndex),
            normaliser: normaliser, wants: logits.requiresGradient ? [.gradient] : [],
            givingUpLogits: logits.requiresGradient)
        let gradient = result.gradient
        return logits.tape.record(result.loss, from: [logits]) { upstream in
            [try scaled(gradient, by: upstream)]
        }
    }

    /// Mean cross entropy from hidden states x [tokens, hidden size] and the head's weight, chunk by chunk.
    package static func linearCrossEntropy(
        _ x: Tensor, weight: Tensor, labels: NDArray, _ options: LossOptions, normaliser: NDArray?
    ) throws -> Tensor {
        var needs: FusedLinearCrossEntropy.Needs = []
        if x.requiresGradient { needs.insert(.input) }
        if weight.requiresGradient { needs.insert(.weight) }
        let result = try FusedLinearCrossEntropy.forward(
            input: x.value, weight: weight.value, labels: labels,
            options: FusedLinearCrossEntropy.Options(
                CrossEntropy.Options(ignoreIndex: options.ignoreIndex), budgetBytes: options.budgetBytes),
            normaliser: normaliser, needs: needs)
        let (dx, dw) = (result.dInput, result.dWeight)
        return x.tape.record(result.loss, from: [x, weight]) { upstream in
            [try scaled(dx, by: upstream), try scaled(dw, by: upstream)]
        }
    }

    private static func scaled(_ gradient: NDArray?, by upstream: Upstream) throws -> Contribution {
        guard let gradient else { return .none }
        if !upstream.isOne { try CrossEntropy.scale(gradient, by: upstream.array) }
        return .array(gradient)
    }
}
