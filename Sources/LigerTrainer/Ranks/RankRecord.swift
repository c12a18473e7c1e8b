internal import LigerKernels
internal import LigerNN
internal import LigerRuntime

/// What all ranks must have in common.
struct RankRecord: Codable {
    let run: RunRecord
    /// What moves arrays, with its version.
    let exchange: String
    /// Of the weights that training starts from.
    let weights: String

    /// - Cost: the trained weights read once.
    init(_ run: RunRecord, _ model: TrainingModel, exchange: String) throws {
        (self.run, self.exchange) = (run, exchange)
        let trained = model.decoder.trainedParameters.map(\.value)
        let norm = "norm \(try GradientNorm.compute(trained).hostValues()[0])"
        weights = model.base.map { "\(norm) on \($0.fingerprint)" } ?? norm
    }

    /// In words, with rank 0's values first.
    func differences(from first: RankRecord) -> [String] {
        var result = run.differences(from: first.run) + run.options.liveDifferences(from: first.run.options)
        if exchange != first.exchange {
            result.append("exchanges by \(exchange), rank 0 by \(first.exchange)")
        }
        if weights != first.weights {
            result.append("the weights have \(weights), those of rank 0 have \(first.weights)")
        }
        return result
    }
}
