/// What run.json says about a run: enough to refuse a resume that would not continue it.
package struct RunRecord: Sendable, Equatable, Codable {
    /// Rises when an older program could not read the folder.
    package var formatVersion = 1
    package var options: TrainingOptions
    /// `TokenStream.fingerprint`: what the text came to, wherever it lay.
    package var dataFingerprint: String
    package var tokenCount: Int
    package var vocabularySize: Int
    /// Such as `NVIDIA H200`; nil for the processor, whose kind changes no result.
    package var deviceModel: String?
    /// `FrozenModel.fingerprint` of the reference or teacher; nil where there is none.
    package var frozenFingerprint: String?
    /// What computes attention on a GPU, such as `flash, cuDNN 9.19.0`; nil for the processor, and in records
    /// from before there was a choice: those are of `blocked`.
    package var attention: String?
    /// The frozen weights of an adapter; nil where the weights are trained.
    package var base: BaseModel?
    /// What is computed again, where a budget decided that: a resumed run does the same. It changes no result.
    package var recomputation: PlannedRecomputation?

    package init(
        options: TrainingOptions, dataFingerprint: String, tokenCount: Int, vocabularySize: Int,
        deviceModel: String? = nil, frozenFingerprint: String? = nil, attention: String? = nil,
        base: BaseModel? = nil, recomputation: PlannedRecomputation? = nil
    ) {
        self.options = options
        self.dataFingerprint = dataFingerprint
        self.tokenCount = tokenCount
        self.vocabularySize = vocabularySize
        self.deviceModel = deviceModel
        self.frozenFingerprint = frozenFingerprint
        self.attention = attention
        self.base = base
        self.recomputation = recomputation
    }

    /// Everything that would make resuming another run, in words.
    package func differences(from earlier: RunRecord) -> [String] {
        var result = options.differences(from: earlier.options).map(\.description)
        if vocabularySize != earlier.vocabularySize {
            result.append("the vocabulary had \(earlier.vocabularySize) tokens, has \(vocabularySize)")
        }
        if let deviceModel, let before = earlier.deviceModel, deviceModel != before {
            result.append("the GPU was \(before), is \(deviceModel)")
        }
        if let frozenFingerprint, let before = earlier.frozenFingerprint, frozenFingerprint != before,
            options.objective.kind == earlier.options.objective.kind
        {
            let role = options.objective.kind.frozenRole ?? "reference"
            result.append("the \(role)'s weights have changed: they had \(before), have \(frozenFingerprint)")
        }
        if let base, let before = earlier.base, !base.isSame(as: before) {
            result.append(
                "the base's weights have changed: \(before.path) had \(before.summary), \(base.path) has "
                    + base.summary)
        }
        let before = earlier.attention ?? "blocked"
        if let attention, earlier.deviceModel != nil, attention != before {
            result.append("--attention came to \(before), comes to \(attention)")
        }
        if dataFingerprint != earlier.dataFingerprint || tokenCount != earlier.tokenCount {
            let counts = "\(Format.integer(earlier.tokenCount)) tokens, is \(Format.integer(tokenCount))"
            result.append("the text has changed: it was \(counts)")
        }
        return result
    }
}
