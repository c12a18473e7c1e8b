internal import LigerNN
internal import LigerRuntime

/// The cross entropy of each next token that counts, its mean over all such tokens of a step: of a text, or of what is to be
/// learned of examples. In training, the loss of routers in addition where the model has one.
struct NextToken: Objective {
    let options: LossOptions
    /// Whether the model has a loss of routers.
    let hasRouters: Bool

    var figureCount: Int { hasRouters ? 1 : 0 }

    func loss(
        _ batch: BatchArrays, of model: Decoder, share: LossShare, on tape: Tape
    ) throws -> ObjectiveLoss {
        let (loss, routers) = try model.lossAndRouters(
            batch.ids, batch.labels, options, documents: batch.documents, counted: batch.counted,
            normaliser: share.tokens, on: tape)
        return ObjectiveLoss(loss, figures: routers.map { [$0] } ?? [])
    }

    func figures(_ sums: [Double], batches: Int) -> [Figure: Double] {
        hasRouters ? [.routerLoss: sums[0] / Double(batches)] : [:]
    }
}
