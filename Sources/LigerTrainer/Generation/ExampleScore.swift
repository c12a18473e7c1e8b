internal import LigerModels
internal import LigerNN
package import LigerRuntime
internal import Platform
package import Tile

/// How well a trained model does on the examples of an objective: on conversations, pairs of answers, judged answers, or
/// against a teacher. What counts is what counts in training.
package struct ExampleScore: Sendable, Codable {
    /// `sft`, `dpo` and so on.
    package let objective: String
    /// The objective's: of sft the mean of -log p over the tokens that are learned, in nats.
    package let loss: Double
    /// e^loss, of sft; nil of others.
    package let perplexity: Double?
    /// What the objective says in addition, by the keys of `metrics.jsonl`.
    package let figures: [String: Double]
    /// Tokens that the model reads.
    package let tokens: Int
    /// What the loss is a mean over: of sft learned tokens, of others pairs, answers or tokens.
    package let counted: Int
    /// The data, for people.
    package let summary: String

    /// What is counted, in words.
    package let unit: String

    /// - Parameters:
    ///   - options: the objective, `data`, `--seq`, `--batch` and how examples become tokens. Where no type is given the
    ///     weights' own is taken.
    /// - Throws: `TrainerError` as `TrainingRun`, and `invalidOptions` for DPO and KTO without a reference: a model
    ///   compared with itself has the same loss whatever it is. What loading throws.
    /// - Cost: a forward pass over the data, and of a reference or teacher another.
    package init(
        of location: LoadedModel.Location, _ given: TrainingOptions, dtype: DType?, device: Device
    ) throws {
        let options = try Self.options(of: location, given, dtype: dtype)
        let description = try ModelDescription(options)
        try description.checkLength(options.sequenceLength)
        try description.checkExperts(options, on: device)
        let (prepared, notes) = try Self.examples(options, by: description.tokenMaker(options))
        let model = try TrainingModel(description, options, device: device)
        let work = options.makeObjective(of: model.decoder, asking: model.frozen)
        let stream = prepared.stream
        var (total, weight, read) = (0.0, 0, 0)
        var sums = [Double](repeating: 0, count: work.figureCount)
        for index in 0..<stream.evaluationBatches {
            let batch = stream.evaluationBatch(index)
            let result = try work.loss(
                BatchArrays(batch, on: device, counting: model.decoder.routerLossWeight != nil),
                of: model.decoder, share: .all, on: Tape(recording: false))
            total += try result.loss.value.hostValues()[0] * Double(batch.weight)
            for (place, number) in try result.figures.flatMap({ try $0.hostValues() }).enumerated() {
                sums[place] += number
            }
            weight += batch.weight
            read += batch.tokens
        }
        objective = options.objective.description
        loss = total / Double(max(1, weight))
        perplexity = options.objective.kind == .sft ? exp(loss) : nil
        let named = work.figures(sums, batches: stream.evaluationBatches)
        figures = Dictionary(uniqueKeysWithValues: named.map { ($0.key.rawValue, $0.value) })
        (tokens, counted) = (read, weight)
        unit =
            switch options.objective.kind {
            case .nextToken, .sft: "of them learned"
            case .dpo, .orpo, .cpo, .simPO: "pairs"
            case .kto: "answers"
            case .grpo: options.objective.isMeanOverTokens ? "of them rated" : "answers"
            case .distill: "of them compared"
            }
        summary = (prepared.notes + notes).joined(separator: "\n")
    }

    /// All examples of the file, as what is evaluated.
    ///
    /// - Returns: in addition what became of those that are too long, for people.
    private static func examples(
        _ given: TrainingOptions, by maker: TokenMaker
    ) throws -> (data: PreparedData, notes: [String]) {
        guard let path = given.data, let form = given.objective.kind.form else {
            preconditionFailure("the objective has examples")
        }
        var options = given
        options.evaluationFraction = 0
        func whole<Stream: RowStream>(
            _ made: (stream: Stream, notes: [String])
        ) -> (data: PreparedData, notes: [String]) {
            let stream = MixedStream(
                [made.stream], names: [path], weights: nil, evaluated: made.stream, options)
            let notes = made.stream.lengthSummary.map { ["        \($0)"] } ?? []
            return (PreparedData(stream: stream, notes: made.notes), notes)
        }
        let file = try ExampleFile(path: path, form: form)
        return form == .instructions
            ? whole(try maker.instructions(of: file, options, in: nil, progress: .silent))
            : whole(try maker.examples(of: file, options, in: nil, progress: .silent))
    }

    private static func options(
        of location: LoadedModel.Location, _ given: TrainingOptions, dtype: DType?
    ) throws -> TrainingOptions {
        var options = given
        options.model = location.weights
        options.adapter.folder = location.adapter
        let folder = URL(literalPath: location.weights, isFolder: true)
        options.dtype = try dtype ?? ModelConfiguration(folder: folder).dtype ?? .f32
        try options.validate()
        if options.objective.kind.frozenRole == "reference", options.objective.reference == nil,
            location.adapter == nil
        {
            throw TrainerError(
                .invalidOptions,
                "--objective \(options.objective.kind.rawValue) compares a model with a reference, and none is given.",
                remedy: "Give --reference, the model that training started from.")
        }
        return options.withChatDate()
    }
}
