internal import LigerLosses
internal import LigerNN
internal import LigerRuntime

/// DPO and its relatives, CPO, SimPO and ORPO: learning from pairs of answers. See `FusedLinearPreference`.
///
/// A batch has the chosen answers of all pairs, then the rejected ones. The reference scores them anew in each
/// step, before the model does, so that all it takes in addition to its weights is free again by then. Scores of a whole
/// data set, computed once, would spare the weights; but they cost a pass over all data before the first step, also
/// of a run that reads a part of it, and a resumed run would have to trust a file of them.
struct Preferring: Objective {
    let formula: FusedLinearPreference.Formula
    let options: FusedLinearPreference.Options
    /// Of DPO.
    let reference: FrozenModel?

    var figureCount: Int { options.likelihoodWeight == nil ? 4 : 5 }

    func loss(
        _ batch: BatchArrays, of model: Decoder, share: LossShare, on tape: Tape
    ) throws -> ObjectiveLoss {
        let reference = try reference?.answers(
            batch.ids, batch.labels, averages: options.averages, options.sequences)
        let hidden = try model.hidden(batch.ids, on: tape)
        var figures: [NDArray] = []
        let loss = try model.head.loss(hidden, share: share.factor) { head, needs in
            let result = try FusedLinearPreference.forward(
                formula, head: head, labels: batch.labels,
                reference: reference.map { .logProbabilities($0) }, totals: share.totals,
                options: options, needs: needs)
            figures = [try RewardSums.ofPairs(result.rewards)]
            if options.likelihoodWeight != nil { figures.append(result.nll) }
            return HeadLoss(
                result.loss, dInput: result.dInput, dWeight: result.dWeight, scales: result.scales)
        }
        return ObjectiveLoss(loss, figures: figures)
    }

    func figures(_ sums: [Double], batches: Int) -> [Figure: Double] {
        let pairs = sums[3]
        var figures: [Figure: Double] = [
            .chosenReward: sums[0] / pairs, .rejectedReward: sums[1] / pairs,
            .rewardMargin: (sums[0] - sums[1]) / pairs, .accuracy: sums[2] / pairs,
        ]
        if sums.count > 4 { figures[.likelihoodLoss] = sums[4] / Double(batches) }
        return figures
    }
}
