import LigerKernels
package import LigerLosses
public import LigerRuntime

/// From hidden states to scores of tokens, and to the loss.
public struct LanguageHead {
    /// [vocabulary, hidden size].
    public let weight: Parameter

    /// A head over a weight of its own, or tied to an embedding's.
    public init(weight: Parameter) { self.weight = weight }

    /// [tokens, vocabulary] for x [tokens, hidden size].
    public func logits(_ x: Tensor) throws -> Tensor { try x.linear(x.tape.tensor(of: weight)) }

    /// Mean cross entropy of the labels [tokens]; see `Decoder.loss`.
    public func loss(
        _ x: Tensor, _ labels: NDArray, _ options: LossOptions, normaliser: NDArray?,
        _ kernels: KernelSelection
    ) throws -> Tensor {
        if kernels[.fusedLinearCrossEntropy] {
            return try Fused.linearCrossEntropy(
                x, weight: x.tape.tensor(of: weight), labels: labels, options, normaliser: normaliser)
        }
        let logits = try logits(x)
        return kernels[.crossEntropy]
            ? try Fused.crossEntropy(
                logits, labels: labels, ignoreIndex: options.ignoreIndex, normaliser: normaliser)
            : try Reference.crossEntropy(
                logits, labels: labels, ignoreIndex: options.ignoreIndex, normaliser: normaliser)
    }

    /// A loss of x [tokens, hidden size] and this head that comes with its gradients; see `Fused.linearLoss`.
    package func loss(
        _ x: Tensor, share: NDArray?, _ compute: (LinearHead, LinearNeeds) throws -> HeadLoss
    ) throws -> Tensor {
        try Fused.linearLoss(x, weight: x.tape.tensor(of: weight), share: share, compute)
    }
}
