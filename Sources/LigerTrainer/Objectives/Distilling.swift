internal import LigerLosses
internal import LigerNN
internal import LigerRuntime

/// Distillation: learning what a teacher thinks of each next token, and the token itself. See
/// `FusedLinearDistillation`.
struct Distilling: Objective {
    let formula: FusedLinearDistillation.Formula
    let options: FusedLinearDistillation.Options
    let teacher: FrozenModel

    var figureCount: Int { 2 }

    func loss(
        _ batch: BatchArrays, of model: Decoder, share: LossShare, on tape: Tape
    ) throws -> ObjectiveLoss {
        try FrozenModel.withHead(of: teacher.decoder, batch.ids) { head in
            try loss(batch, of: model, asking: head, share: share, on: tape)
        }
    }

    private func loss(
        _ batch: BatchArrays, of model: Decoder, asking teacher: LinearHead, share: LossShare, on tape: Tape
    ) throws -> ObjectiveLoss {
        let hidden = try model.hidden(batch.ids, on: tape)
        var figures: [NDArray] = []
        let loss = try model.head.loss(hidden, share: share.factor) { head, needs in
            let result = try FusedLinearDistillation.forward(
                formula, student: head, teacher: .layer(teacher), labels: batch.labels.flattened,
                totals: share.totals, options: options, needs: needs)
            guard let hard = result.hard else { preconditionFailure("the options ask for the hard loss") }
            figures = [result.soft, hard]
            return HeadLoss(
                result.loss, dInput: result.dInput, dWeight: result.dWeight, scales: result.scales)
        }
        return ObjectiveLoss(loss, figures: figures)
    }

    func figures(_ sums: [Double], batches: Int) -> [Figure: Double] {
        [.softLoss: sums[0] / Double(batches), .hardLoss: sums[1] / Double(batches)]
    }
}
