internal import LigerNN
internal import LigerRuntime

/// The cross entropy of each next token, its mean over all tokens of a step.
struct NextToken: Objective {
    let options: LossOptions

    var figureCount: Int { 0 }

    func loss(
        _ batch: BatchArrays, of model: Decoder, share: LossShare, on tape: Tape
    ) throws -> ObjectiveLoss {
        ObjectiveLoss(
            try model.loss(batch.ids, batch.labels, options, normaliser: share.tokens, on: tape))
    }

    func figures(_ sums: [Double], batches: Int) -> [Figure: Double] { [:] }
}
