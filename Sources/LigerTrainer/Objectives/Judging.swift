internal import LigerLosses
internal import LigerNN
internal import LigerRuntime

/// KTO: learning from answers that are each just good or bad. See `FusedLinearKTO`.
///
/// A batch has the answers, and then as many answers to other prompts, of which the models' divergence is estimated
/// without a gradient: of all ranks' together, since its mean is bounded.
struct Judging: Objective {
    let options: FusedLinearKTO.Options
    let reference: FrozenModel

    var figureCount: Int { 5 }
    var takesAllRanks: Bool { true }

    func loss(
        _ batch: BatchArrays, of model: Decoder, share: LossShare, on tape: Tape
    ) throws -> ObjectiveLoss {
        guard let preferences = batch.preferences else {
            preconditionFailure("a batch of judged answers says which are good")
        }
        let count = preferences.count
        let divergence = try divergence(batch.rows(count..<2 * count), of: model, share)
        let own = batch.rows(0..<count)
        let answers = try reference.answers(
            own.ids, own.labels, averages: options.averages, options.sequences)
        let hidden = try model.hidden(own.ids, on: tape)
        var figures: [NDArray] = []
        let loss = try model.head.loss(hidden, share: share.factor) { head, needs in
            let result = try FusedLinearKTO.forward(
                head: head, labels: own.labels, preferences: preferences,
                reference: .logProbabilities(answers), divergence: divergence, totals: share.totals,
                options: options, needs: needs)
            figures = [
                try RewardSums.ofAnswers(
                    result.rewards, preferences: preferences, divergence: divergence)
            ]
            return HeadLoss(
                result.loss, dInput: result.dInput, dWeight: result.dWeight, scales: result.scales)
        }
        return ObjectiveLoss(loss, figures: figures)
    }

    private func divergence(
        _ mismatched: BatchArrays, of model: Decoder, _ share: LossShare
    ) throws -> NDArray {
        let answers = try reference.answers(
            mismatched.ids, mismatched.labels, averages: options.averages, options.sequences)
        return try FrozenModel.withHead(of: model, mismatched.ids) { head in
            try FusedLinearKTO.divergence(
                head: head, labels: mismatched.labels, reference: .logProbabilities(answers),
                options: options
            ) {
                // A rank without a share of a batch reads all of it, which leaves the mean as it is.
                try share.ranks.sum([$0])
            }
        }
    }

    /// A batch without good answers, or without bad ones, has no mean of theirs.
    func figures(_ sums: [Double], batches: Int) -> [Figure: Double] {
        var figures: [Figure: Double] = [.divergence: sums[4] / (sums[2] + sums[3])]
        if sums[2] > 0 { figures[.chosenReward] = sums[0] / sums[2] }
        if sums[3] > 0 { figures[.rejectedReward] = sums[1] / sums[3] }
        if sums[2] > 0, sums[3] > 0 { figures[.rewardMargin] = sums[0] / sums[2] - sums[1] / sums[3] }
        return figures
    }
}
