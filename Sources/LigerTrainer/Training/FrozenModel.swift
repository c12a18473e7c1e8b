internal import LigerKernels
internal import LigerLosses
package import LigerNN
internal import LigerRuntime
internal import Tile

/// A model that is asked and never changed: a reference or a teacher. No tape is kept for it.
package struct FrozenModel {
    package let decoder: Decoder
    /// What `fingerprint` says, where the weights are no longer there to tell.
    private let known: String?

    init(_ decoder: Decoder, fingerprint: String? = nil) { (self.decoder, known) = (decoder, fingerprint) }

    /// An adapted model without its adapters: the same layers over the same memory, which nobody changes.
    ///
    /// - Parameters:
    ///   - layers: like the model's, without memory.
    ///   - fingerprint: of the weights, if the model holds them in 8 bits.
    init(sharing model: Decoder, _ layers: Decoder, fingerprint: String? = nil) {
        for (own, parameter) in zip(layers.parameters, model.parameters) { own.share(parameter) }
        (layers.kernels, layers.attention) = (model.kernels, model.attention)
        self.init(layers, fingerprint: fingerprint)
    }

    /// A model's last layer with its input for ids [rows, length], computed without a tape.
    ///
    /// - Throws: also `RuntimeError` if its scores go through a softcap, which losses against it do not have.
    static func head(of model: Decoder, _ ids: NDArray) throws -> LinearHead {
        if let softcap = model.head.softcap {
            throw RuntimeError(
                "the reference or teacher bounds its logits by \(softcap), which losses against it do not have. "
                    + "Take a model without final_logit_softcapping")
        }
        return LinearHead(
            input: try model.hidden(ids, on: Tape(recording: false)).value, weight: model.head.weight.value)
    }

    /// The log-probabilities of answers, [rows], f32, on the device.
    ///
    /// - Parameter labels: [rows, length].
    func answers(
        _ ids: NDArray, _ labels: NDArray, averages: Bool, _ options: SequenceOptions
    ) throws -> NDArray {
        try FusedLinearPreference.ReferenceModel.layer(Self.head(of: decoder, ids)).answers(
            labels: labels, averages: averages, options)
    }

    /// The log-probability of each label, [rows, length], f32, on the device; 0 where it does not count.
    ///
    /// - Parameter labels: [rows, length].
    func logProbabilities(
        _ ids: NDArray, _ labels: NDArray, _ options: SequenceOptions
    ) throws -> NDArray {
        try SequenceScorer(Self.head(of: decoder, ids), labels: labels, options).scores().logProbs
            .reshaped(labels.shape)
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
