internal import LigerText

/// What `--data`, `--mix` and `--eval-data` hold, read and not yet made tokens.
enum TrainingData {
    case texts([Corpus], evaluated: Corpus?)
    case examples([ExampleFile], evaluated: ExampleFile?)

    /// - Throws: as `Corpus` and `ExampleFile`.
    init(_ options: TrainingOptions) throws {
        let paths = [options.data].compactMap { $0 } + options.source.others
        let evaluation = options.source.evaluation
        if let form = options.objective.kind.form {
            self = .examples(
                try paths.map { try ExampleFile(path: $0, form: form) },
                evaluated: try evaluation.map { try ExampleFile(path: $0, form: form) })
        } else {
            self = .texts(
                try paths.isEmpty ? [Corpus.ownSources()] : paths.map { try Corpus(path: $0) },
                evaluated: try evaluation.map { try Corpus(path: $0) })
        }
    }

    private var byteCount: Int {
        switch self {
        case .texts(let texts, _): texts.reduce(0) { $0 + $1.byteCount }
        case .examples(let files, _): files.reduce(0) { $0 + $1.part.bytes }
        }
    }

    /// The batches of a run.
    ///
    /// - Throws: `TrainerError`.
    func prepared(
        by maker: TokenMaker, _ options: TrainingOptions, progress: DataProgress
    ) throws -> PreparedData {
        let cache = try TokenCache(options, dataBytes: byteCount)
        func prepared<Source, Stream: RowStream>(
            _ sources: [Source], _ evaluated: Source?, _ name: (Source) -> String,
            _ make: (Source, TrainingOptions) throws -> (stream: Stream, notes: [String])
        ) throws -> PreparedData {
            var own = options
            own.evaluationFraction = options.heldOutFraction
            var made = try sources.map { try make($0, own) }
            own.evaluationFraction = 0
            let judged = try evaluated.map { try make($0, own) }
            let notes = (made + [judged].compactMap { $0 }).flatMap(\.notes)
            guard made.count > 1 || judged != nil else {
                return PreparedData(stream: made.removeLast().stream, notes: notes)
            }
            let stream = MixedStream(
                made.map(\.stream), names: sources.map(name), weights: options.source.weights,
                evaluated: judged?.stream, options)
            return PreparedData(stream: stream, notes: notes)
        }
        switch self {
        case .texts(let texts, let evaluated):
            return try prepared(texts, evaluated, \.root) {
                try maker.stream(of: $0, $1, in: cache, progress: progress)
            }
        case .examples(let files, let evaluated) where files.first?.form == .instructions:
            return try prepared(files, evaluated, \.path) {
                try maker.instructions(of: $0, $1, in: cache, progress: progress)
            }
        case .examples(let files, let evaluated):
            return try prepared(files, evaluated, \.path) {
                try maker.examples(of: $0, $1, in: cache, progress: progress)
            }
        }
    }
}

/// Data that is ready to train on.
struct PreparedData {
    let stream: any BatchStream
    /// What it is and where its tokens are, for people.
    let notes: [String]
}

extension TokenMaker {
    /// The sequences of a text.
    ///
    /// - Throws: `TrainerError`: as `TokenStream` and `tokens`.
    func stream(
        of corpus: Corpus, _ options: TrainingOptions, in cache: TokenCache?, progress: DataProgress
    ) throws -> (stream: TokenStream, notes: [String]) {
        let (tokens, notes) = try tokens(of: corpus, in: cache, progress: progress)
        let stream = try TokenStream(
            tokens, sequenceLength: options.sequenceLength, batchSize: options.batch,
            accumulation: options.accumulate, evaluationFraction: options.evaluationFraction,
            seed: options.seed)
        return (stream, ["text    \(corpus.summary)"] + notes)
    }

    /// The rows of a file's instructions.
    ///
    /// - Throws: `TrainerError`: as `InstructionStream` and what makes examples.
    func instructions(
        of file: ExampleFile, _ options: TrainingOptions, in cache: TokenCache?, progress: DataProgress
    ) throws -> (stream: InstructionStream, notes: [String]) {
        let lossOn = options.instructions.resolvedLossOn
        let conversations = chats.source(for: file.path)
        let encoder = InstructionEncoder(file.path, tokenizer, lossOn, conversations)
        var encoded = 0
        let (examples, notes) = try self.examples(
            of: file, settings: ["loss on": lossOn.rawValue], in: cache, progress: progress
        ) {
            encoded += 1
            return [try encoder.encode($0)]
        }
        let stream = try InstructionStream(examples, of: file.path, options)
        let unused = conversations.unusedNote(chats, after: encoded, of: file.path)
        return (stream, [summary(of: file, examples.count)] + notes + [unused].compactMap { $0 })
    }

    /// The examples of a file, to compare answers or to learn from a teacher.
    ///
    /// - Throws: `TrainerError`: as `ExampleStream` and what makes examples.
    func examples(
        of file: ExampleFile, _ options: TrainingOptions, in cache: TokenCache?, progress: DataProgress
    ) throws -> (stream: ExampleStream, notes: [String]) {
        let scalesRewards = options.objective.resolvedScalesRewards
        let conversations = chats.source(for: file.path)
        var encoded = 0
        let encoder = ExampleEncoder(
            path: file.path, opening: tokenizer.openingIDs, end: tokenizer.documentEnd,
            conversations: conversations, scalesRewards: scalesRewards ?? true,
            tokenize: { tokenizer.encode($0) })
        let settings = scalesRewards.map { ["scale rewards": "\($0)"] } ?? [:]
        let (examples, notes) = try self.examples(
            of: file, settings: settings, in: cache, progress: progress
        ) {
            encoded += 1
            return try encoder.encode($0)
        }
        let stream = try ExampleStream(examples, of: file.path, file.form, options)
        let unused = conversations.unusedNote(chats, after: encoded, of: file.path)
        return (stream, [summary(of: file, examples.count)] + notes + [unused].compactMap { $0 })
    }

    private func summary(of file: ExampleFile, _ count: Int) -> String {
        "data    \(Format.count(count, file.form.noun)) from \(file.path)"
    }
}
