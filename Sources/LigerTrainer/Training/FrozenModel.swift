internal import LigerKernels
internal import LigerLosses
package import LigerNN
internal import LigerRuntime
internal import Tile

/// A model that is asked and never changed: a reference or a teacher. No tape is kept for it.
package struct FrozenModel {
    package let decoder: Decoder
    /// Whether its weights are the trained model's.
    let isShared: Bool
    /// What `fingerprint` says, where the weights are no longer there to tell.
    private let known: String?

    init(_ decoder: Decoder, fingerprint: String? = nil) {
        self.init(decoder, isShared: false, fingerprint: fingerprint)
    }

    private init(_ decoder: Decoder, isShared: Bool, fingerprint: String?) {
        (self.decoder, self.isShared, known) = (decoder, isShared, fingerprint)
    }

    /// An adapted model without its adapters: the same layers over the same memory, which nobody changes.
    ///
    /// - Parameters:
    ///   - layers: like the model's, without memory.
    ///   - fingerprint: of the weights, if the model holds them in 8 bits.
    init(sharing model: Decoder, _ layers: Decoder, fingerprint: String? = nil) {
        for (own, parameter) in zip(layers.parameters, model.parameters) { own.share(parameter) }
        (layers.kernels, layers.attention) = (model.kernels, model.attention)
        self.init(layers, isShared: true, fingerprint: fingerprint)
    }

    /// Bytes of its own weights that are there at all times.
    var keptBytes: Int { isShared ? 0 : decoder.parameters.reduce(0) { $0 + $1.byteCount } }

    /// Gathers its weights from now on, of which each rank keeps a part.
    ///
    /// - Parameter weights: those of the trained model, which are cut already.
    func gather(like weights: WeightExchange, ranks: Ranks) throws {
        if isShared {
            weights.serve(decoder)
        } else {
            _ = try WeightExchange(decoder, ranks: ranks)
        }
    }

    /// Does `body` with a model's last layer and its input for ids [rows, length], computed without a tape.
    ///
    /// - Throws: also `RuntimeError` if its scores go through a softcap, which losses against it do not have.
    static func withHead<Result>(
        of model: Decoder, _ ids: NDArray, _ body: (LinearHead) throws -> Result
    ) throws -> Result {
        if let softcap = model.head.softcap {
            throw RuntimeError(
                "the reference or teacher bounds its logits by \(softcap), which losses against it do not have. "
                    + "Take a model without final_logit_softcapping")
        }
        let input = try model.hidden(ids, on: Tape(recording: false)).value
        return try model.head.withWeight { try body(LinearHead(input: input, weight: $0)) }
    }

    /// The log-probabilities of answers, [rows], f32, on the device.
    ///
    /// - Parameter labels: [rows, length].
    func answers(
        _ ids: NDArray, _ labels: NDArray, averages: Bool, _ options: SequenceOptions
    ) throws -> NDArray {
        try Self.withHead(of: decoder, ids) { head in
            try FusedLinearPreference.ReferenceModel.layer(head).answers(
                labels: labels, averages: averages, options)
        }
    }

    /// The log-probability of each label, [rows, length], f32, on the device; 0 where it does not count.
    ///
    /// - Parameter labels: [rows, length].
    func logProbabilities(
        _ ids: NDArray, _ labels: NDArray, _ options: SequenceOptions
    ) throws -> NDArray {
        try Self.withHead(of: decoder, ids) { head in
            try SequenceScorer(head, labels: labels, options).scores().logProbs.reshaped(labels.shape)
        }
    }

    /// The weights' norm, digit by digit: other weights have another, almost surely.
    ///
    /// - Cost: the weights read once.
    func fingerprint() throws -> String {
        if let known { return known }
        let norm = try GradientNorm.compute(decoder.parameters.map(\.value)).hostValues()[0]
        return "norm \(norm)"
    }
}
