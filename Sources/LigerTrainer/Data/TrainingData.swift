/// What `--data` holds, read and not yet made tokens.
enum TrainingData {
    case text(Corpus)
    case examples(ExampleFile)

    /// - Throws: as `Corpus` and `ExampleFile`.
    init(_ options: TrainingOptions) throws {
        if let form = options.objective.kind.form, let data = options.data {
            self = .examples(try ExampleFile(path: data, form: form))
        } else {
            self = .text(try options.data.map { try Corpus(path: $0) } ?? Corpus.ownSources())
        }
    }

    /// One line for people.
    var summary: String {
        switch self {
        case .text(let corpus): "text    \(corpus.summary)"
        case .examples(let file): "data    \(file.summary)"
        }
    }

    /// The batches of a run.
    ///
    /// - Throws: `TrainerError` (`textTooShort`).
    func stream(for model: TrainingModel, _ options: TrainingOptions) throws -> any BatchStream {
        switch self {
        case .text(let corpus):
            try TokenStream(
                tokens: model.tokens(of: corpus), sequenceLength: options.sequenceLength,
                batchSize: options.batch, accumulation: options.accumulate,
                evaluationFraction: options.evaluationFraction, seed: options.seed)
        case .examples(let file): try model.batches(of: file, options)
        }
    }
}
