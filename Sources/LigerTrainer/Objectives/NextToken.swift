internal import LigerNN
internal import LigerRuntime

/// The cross entropy of each next token that counts, its mean over all such tokens of a step: of a text, or of what is to be
/// learned of examples.
struct NextToken: Objective {
    let options: LossOptions

    var figureCount: Int { 0 }

    func loss(
        _ batch: BatchArrays, of model: Decoder, share: LossShare, on tape: Tape
    ) throws -> ObjectiveLoss {
        ObjectiveLoss(
            try model.loss(
                batch.ids, batch.labels, options, documents: batch.documents, normaliser: share.tokens,
                on: tape))
    }

    func figures(_ sums: [Double], batches: Int) -> [Figure: Double] { [:] }
}
