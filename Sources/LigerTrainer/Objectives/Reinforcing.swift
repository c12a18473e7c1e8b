internal import LigerLosses
internal import LigerNN
internal import LigerRuntime

/// GRPO and its relatives: learning from answers that were recorded with rewards. See `GRPO`.
///
/// Answers are taken to be the reference's own, which the run starts from: ratios compare the model with it, and so does the
/// divergence. The reference reads each batch before the model does; its log-probabilities of the whole data, kept from the
/// start, would cost a pass over it before the first step.
struct Reinforcing: Objective {
    let options: GRPO.Options
    let sequences: SequenceOptions
    let reference: FrozenModel

    var figureCount: Int { 2 }

    func loss(
        _ batch: BatchArrays, of model: Decoder, share: LossShare, on tape: Tape
    ) throws -> ObjectiveLoss {
        guard let advantages = batch.advantages else {
            preconditionFailure("a batch of rated answers has advantages")
        }
        let sampler = try reference.logProbabilities(batch.ids, batch.labels, sequences)
        // A mean over tokens is one over those of all parts.
        let isMeanOverTokens = options.formula.isMeanOverTokens
        let samples = try GRPO.Samples(
            labels: batch.labels, advantages: advantages, old: sampler,
            reference: options.beta == 0 ? nil : sampler, normaliser: isMeanOverTokens ? share.tokens : nil,
            totals: share.totals)
        let hidden = try model.hidden(batch.ids, on: tape)
        var figures: [NDArray] = []
        let loss = try model.head.loss(hidden, share: isMeanOverTokens ? nil : share.factor) { head, needs in
            let result = try FusedLinearGRPO.forward(
                head: head, samples: samples, options: options, sequences: sequences, needs: needs)
            figures = [result.divergence, result.clipRatio]
            return HeadLoss(
                result.loss, dInput: result.dInput, dWeight: result.dWeight, scales: result.scales)
        }
        return ObjectiveLoss(loss, figures: figures)
    }

    func figures(_ sums: [Double], batches: Int) -> [Figure: Double] {
        var figures: [Figure: Double] = [:]
        if options.formula.isClipped { figures[.clippedShare] = sums[1] / Double(batches) }
        if options.beta != 0 { figures[.divergence] = sums[0] / Double(batches) }
        return figures
    }
}

extension GRPO.Formula {
    /// Whether the loss is a mean over all tokens of a step, rather than over sequences or over a part's own tokens.
    var isMeanOverTokens: Bool {
        switch self {
        case .dapo, .cispo, .vespo: true
        case .grpo, .bnpo, .drGRPO, .luspo, .sapo: false
        }
    }
}
