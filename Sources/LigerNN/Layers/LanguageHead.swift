import LigerKernels
package import LigerLosses
public import LigerRuntime

/// From hidden states to scores of tokens, and to the loss.
public struct LanguageHead {
    /// [vocabulary, hidden size].
    public let weight: Parameter
    /// c of c tanh(z / c), which scores z go through; nil for none.
    public let softcap: Float?
    let place = WeightPlace()

    /// A head over a weight of its own, or tied to an embedding's.
    public init(weight: Parameter, softcap: Float? = nil) {
        self.weight = weight
        self.softcap = softcap
    }

    /// [tokens, vocabulary] for x [tokens, hidden size].
    public func logits(_ x: Tensor, _ kernels: KernelSelection = .liger) throws -> Tensor {
        let scores = try place.using(on: x.tape, again: true) { try x.linear(x.tape.tensor(of: weight)) }
        guard let softcap else { return scores }
        return try kernels == .reference
            ? Reference.softcap(scores, by: softcap) : scores.softcapped(by: softcap)
    }

    /// Mean cross entropy of the labels [tokens]; see `Decoder.loss`.
    public func loss(
        _ x: Tensor, _ labels: NDArray, _ options: LossOptions, normaliser: NDArray?,
        _ kernels: KernelSelection
    ) throws -> Tensor {
        if let classes = place.classes {
            return try classes.loss(x, labels, options, normaliser: normaliser)
        }
        if kernels[.fusedLinearCrossEntropy] {
            return try place.using(on: x.tape, again: false) {
                try Fused.linearCrossEntropy(
                    x, weight: x.tape.tensor(of: weight), labels: labels, options, softcap: softcap,
                    normaliser: normaliser)
            }
        }
        return kernels[.crossEntropy]
            ? try Fused.crossEntropy(
                place.using(on: x.tape, again: true) { try x.linear(x.tape.tensor(of: weight)) },
                labels: labels, ignoreIndex: options.ignoreIndex, softcap: softcap, normaliser: normaliser)
            : try Reference.crossEntropy(
                logits(x, .reference), labels: labels, ignoreIndex: options.ignoreIndex,
                normaliser: normaliser)
    }

    /// A loss of x [tokens, hidden size] and this head that comes with its gradients; see `Fused.linearLoss`.
    ///
    /// - Throws: also `RuntimeError` if scores go through a softcap, which such losses do not have.
    package func loss(
        _ x: Tensor, share: NDArray?, _ compute: (LinearHead, LinearNeeds) throws -> HeadLoss
    ) throws -> Tensor {
        if let softcap {
            throw RuntimeError(
                "this model bounds its logits by \(softcap), which only the loss of text has. "
                    + "Train it on text, or take a model without final_logit_softcapping")
        }
        return try place.using(on: x.tape, again: false) {
            try Fused.linearLoss(x, weight: x.tape.tensor(of: weight), share: share, compute)
        }
    }

    /// Does `body` with the weight's numbers, of which nothing is differentiated.
    package func withWeight<Result>(_ body: (NDArray) throws -> Result) throws -> Result {
        try place.using(on: Tape(recording: false), again: false) { try body(weight.value) }
    }
}
