/// All tokens of a text, cut into sequences and dealt out in a repeatable random order.
///
/// Sequence i reads tokens i L ..< (i + 1) L and predicts those one further, so every token but the first is
/// predicted exactly once per epoch. The last sequences are kept for evaluation and never trained on. Each
/// epoch is a new random order of the training sequences without repetition. A batch depends only on the
/// seed and its step: resuming needs no state but the step number.
public struct TokenStream: Sendable {
    let source: TokenSource
    /// Tokens per sequence (L).
    public let sequenceLength: Int
    /// Sequences per batch.
    public let batchSize: Int
    /// Batches per optimiser step.
    public let accumulation: Int
    /// What the order depends on, with the step.
    public let seed: UInt64
    /// Sequences in one epoch.
    public let trainingSequences: Int
    /// Sequences kept for evaluation, after those for training.
    public let evaluationSequences: Int

    /// Cuts tokens into sequences.
    /// - Parameters:
    ///   - tokens: of all text, one document after the other.
    ///   - sequenceLength: tokens of a sequence.
    ///   - batchSize: sequences of a forward pass.
    ///   - accumulation: forward passes of a step.
    ///   - evaluationFraction: the share kept for evaluation, from the end: at least one sequence,
    ///     unless 0.
    ///   - seed: decides the order.
    /// - Throws: `TrainerError` (`textTooShort`) when there is no sequence to train on in addition to one to
    ///   evaluate.
    public init(
        tokens: [Int32], sequenceLength: Int, batchSize: Int, accumulation: Int = 1,
        evaluationFraction: Double = 0, seed: UInt64
    ) throws {
        try self.init(
            .memory(tokens), sequenceLength: sequenceLength, batchSize: batchSize, accumulation: accumulation,
            evaluationFraction: evaluationFraction, seed: seed)
    }

    /// The same with tokens that may be on disk.
    init(
        _ source: TokenSource, sequenceLength: Int, batchSize: Int, accumulation: Int,
        evaluationFraction: Double,
        seed: UInt64
    ) throws {
        precondition(sequenceLength > 0 && batchSize > 0 && accumulation > 0, "sizes must be positive")
        precondition(evaluationFraction >= 0 && evaluationFraction < 1, "the fraction must be in 0..<1")
        let sequences = max(0, source.count - 1) / sequenceLength
        let evaluates = evaluationFraction > 0
        guard sequences >= (evaluates ? 2 : 1) else {
            throw Self.tooShort(tokens: source.count, sequenceLength: sequenceLength, evaluates: evaluates)
        }
        let share = Int((Double(sequences) * evaluationFraction).rounded())
        evaluationSequences = evaluates ? min(max(1, share), sequences - 1) : 0
        trainingSequences = sequences - evaluationSequences
        self.source = source
        self.sequenceLength = sequenceLength
        self.batchSize = batchSize
        self.accumulation = accumulation
        self.seed = seed
    }

    private static func tooShort(tokens: Int, sequenceLength: Int, evaluates: Bool) -> TrainerError {
        let needed = (evaluates ? 2 : 1) * sequenceLength + 1
        let parts = evaluates ? "one sequence to train on and one to evaluate" : "one sequence"
        let longest = (tokens - 1) / (evaluates ? 2 : 1)
        let shorter = longest > 0 ? "a --seq of at most \(Format.integer(longest))" : "a shorter --seq"
        let without = evaluates && tokens > sequenceLength ? ", or --eval-fraction 0" : ""
        return TrainerError(
            .textTooShort,
            "The text has \(Format.integer(tokens)) tokens; \(parts) of length "
                + "\(Format.integer(sequenceLength)) need \(Format.integer(needed)).",
            remedy: "Give more text with --data, or \(shorter)\(without).")
    }

    /// The tokens of every document, one after the other.
    /// - Parameters:
    ///   - corpus: the documents.
    ///   - separator: ids put after each document, such as the tokenizer's end of text.
    ///   - encode: the tokenizer.
    /// - Throws: `TrainerError` (`dataUnreadable`) for a file that was changed or removed; what `encode` throws.
    public static func tokens(
        of corpus: Corpus, separator: [Int32] = [], encode: (String) throws -> [Int32]
    ) throws -> [Int32] {
        var tokens: [Int32] = []
        for document in corpus.documents {
            tokens += try encode(document.text())
            tokens += separator
        }
        return tokens
    }

    /// Token ids in the order of the text. Cost: a copy in memory, where they are on disk.
    public var tokens: [Int32] { source[0..<source.count] }

    /// Sequences per optimiser step.
    public var sequencesPerStep: Int { batchSize * accumulation }

    /// The batch for one step, counted from 0, and its part when gradients accumulate.
    ///
    /// A pure function of the seed, the step and the part. Cost: one copy of the tokens.
    public func batch(step: Int, part: Int = 0) -> TokenBatch {
        precondition(step >= 0 && 0 <= part && part < accumulation, "no such batch")
        let first = (step * accumulation + part) * batchSize
        let sequences = ShuffledOrder.draws(
            first..<first + batchSize, of: trainingSequences, seed: seed)
        return gather(sequences)
    }

    /// How many batches cover the evaluation sequences.
    public var evaluationBatches: Int { (evaluationSequences + batchSize - 1) / batchSize }

    /// One batch of the evaluation sequences, in the order of the text; the last may have fewer rows.
    public func evaluationBatch(_ index: Int) -> TokenBatch {
        precondition(0 <= index && index < evaluationBatches, "no such evaluation batch")
        let first = index * batchSize
        let end = min(first + batchSize, evaluationSequences)
        return gather((first..<end).map { trainingSequences + $0 })
    }

    private func gather(_ sequences: [Int]) -> TokenBatch {
        var inputs: [Int32] = []
        var labels: [Int64] = []
        inputs.reserveCapacity(sequences.count * sequenceLength)
        labels.reserveCapacity(sequences.count * sequenceLength)
        for sequence in sequences {
            let start = sequence * sequenceLength
            let tokens = source[start..<start + sequenceLength + 1]
            inputs += tokens.dropLast()
            labels += tokens.dropFirst().lazy.map(Int64.init)
        }
        source.release()
        let count = sequences.count * sequenceLength
        return TokenBatch(
            rows: sequences.count, sequenceLength: sequenceLength, inputs: inputs, labels: labels,
            tokens: count, weight: count)
    }

    /// 16 hexadecimal digits that change when any token does: what a resumed run compares. Cost: one pass over tokens in
    /// memory.
    public var fingerprint: String { source.fingerprint }
}

extension TokenStream: BatchStream {
    package var tokenCount: Int { source.count }

    private var tokensPerStep: Int { sequencesPerStep * sequenceLength }

    package var stepSummary: String { summary(ofStep: sequencesPerStep) }

    package func tokens(before step: Int) -> Int { step * tokensPerStep }

    func summary(tokenizer: String, evaluatesAlone: Bool) -> String {
        "\(Format.integer(source.count)) tokens (\(tokenizer)): "
            + counts(trainingSequences, evaluationSequences, "sequence", evaluatesAlone: evaluatesAlone)
    }
}
