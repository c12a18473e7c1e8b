internal import LigerText

/// Instructions as tokens, in rows that one or more examples share, dealt out in a repeatable random order.
///
/// An example of n tokens takes n - 1 places of a row: the model reads all but the last, and each is followed by its label.
/// The last examples of the file are kept for evaluation and never trained on. Which of the others share a row follows
/// from their lengths and the seed, and stays so (`RowPacking`); each epoch is a new random order of the rows. So a batch
/// depends only on the seed and its step.
package struct InstructionStream: Sendable {
    package let sequenceLength: Int
    package let accumulation: Int
    /// Rows per batch.
    package let batchSize: Int
    package let seed: UInt64
    let isPacked: Bool
    private let hasFixedLength: Bool
    /// Those that are left, cut where they were too long.
    package let examples: ExampleList<InstructionExample>
    let totals: Totals
    let training: RowPacking
    let evaluation: RowPacking
    /// Examples in one epoch.
    package let trainingExamples: Int

    /// - Parameters:
    ///   - examples: of the file in `path`, each with something to learn.
    /// - Throws: `TrainerError` (`textTooShort`): an example is too long and `--over-length` is `refuse`, or there are too
    ///   few.
    /// - Cost: all examples read once; 12 bytes for each, and some 20 meanwhile.
    package init(
        _ examples: ExampleList<InstructionExample>, of path: String, _ options: TrainingOptions
    ) throws {
        sequenceLength = options.sequenceLength
        accumulation = options.accumulate
        batchSize = options.batch
        seed = options.seed
        isPacked = options.packsRows
        hasFixedLength = options.execution.graph
        let length = sequenceLength
        let totals = try Totals(
            examples, of: path, length: length, options.instructions.resolvedOverLength)
        let kept = totals.kept
        self.examples = examples.picking(count: totals.lengths.count) { place in
            kept.map { Int($0[place]) } ?? place
        } _: {
            $0.cut(to: length)
        }
        self.totals = totals
        let evaluates = options.evaluationFraction > 0, count = totals.lengths.count
        guard count >= (evaluates ? 2 : 1) else { throw Self.tooFew(count, of: path, totals.report) }
        let share = Int((Double(count) * options.evaluationFraction).rounded())
        trainingExamples = count - (evaluates ? min(max(1, share), count - 1) : 0)
        let order = ShuffledOrder(count: trainingExamples, seed: seed, epoch: 0)
        let trained = (0..<trainingExamples).lazy.map { order[$0] }
        let rest = trainingExamples..<count
        if isPacked {
            training = RowPacking(lengths: totals.lengths, order: trained, capacity: length)
            evaluation = RowPacking(lengths: totals.lengths, order: rest, capacity: length)
        } else {
            training = RowPacking(apart: trained)
            evaluation = RowPacking(apart: rest)
        }
    }

    /// What is known of all examples together.
    struct Totals: Sendable {
        /// Of those that are left, in order.
        var lengths: [Int32] = []
        /// Their places in the file; nil where all are left.
        var kept: [UInt32]?
        var learned = 0
        var report = LengthReport()
        var fingerprint = Fingerprint()

        init(
            _ examples: ExampleList<InstructionExample>, of path: String, length: Int,
            _ rule: TrainingOptions.InstructionChoice.OverLength
        ) throws {
            lengths.reserveCapacity(examples.count)
            try examples.forEachOnce { index, example in
                guard let fitting = try report.fitting(example, of: path, to: length, rule) else {
                    if kept == nil { kept = (0..<UInt32(index)).map { $0 } }
                    return
                }
                kept?.append(UInt32(index))
                lengths.append(Int32(fitting.length))
                learned += fitting.learnedCount
                add(fitting)
            }
        }

        private mutating func add(_ example: InstructionExample) {
            fingerprint.add(Int32(truncatingIfNeeded: example.tokens.count))
            for token in example.tokens { fingerprint.add(token) }
            // Which of them are learned is part of it.
            for range in example.learned {
                fingerprint.add(Int32(truncatingIfNeeded: range.lowerBound))
                fingerprint.add(Int32(truncatingIfNeeded: range.upperBound))
            }
        }

        /// Tokens that the model reads of some examples.
        func tokens(of examples: some Sequence<Int>) -> Int { examples.reduce(0) { $0 + Int(lengths[$1]) } }
    }

    private static func tooFew(_ count: Int, of path: String, _ lengths: LengthReport) -> TrainerError {
        let left = lengths.summary.map { " (\($0))" } ?? ""
        return TrainerError(
            .textTooShort,
            count == 0
                ? "Nothing of \(path) is left to train on\(left)."
                : "\(path) has one example\(left); one to train on and one to evaluate are needed.",
            remedy: count == 0
                ? "Raise --seq, or shorten the examples." : "Give more examples, or --eval-fraction 0.")
    }

    /// Rows in one epoch.
    package var trainingRows: Int { training.count }

    /// The examples of a row.
    package func row(_ index: Int) -> [InstructionExample] { training[index].map { examples[$0] } }

    var trainingTokens: Int { totals.tokens(of: 0..<trainingExamples) }

    /// The share of places in training's rows that examples take, if rows are so long as `--seq`.
    private func fill(_ rows: Int) -> Double { Double(trainingTokens) / Double(rows * sequenceLength) }
}

extension InstructionStream: BatchStream {
    package var tokenCount: Int { totals.tokens(of: totals.lengths.indices) }

    package var stepSummary: String { summary(ofStep: batchSize * accumulation) }

    package var fingerprint: String { totals.fingerprint.digits }

    func summary(tokenizer: String, evaluatesAlone: Bool) -> String {
        let first =
            "\(Format.integer(tokenCount)) tokens (\(tokenizer)), \(Format.integer(totals.learned)) of them learned: "
            + counts(
                trainingExamples, examples.count - trainingExamples, "example", evaluatesAlone: evaluatesAlone
            )
        let alone = "\(Self.percent(fill(trainingExamples))) filled"
        let rows =
            isPacked
            ? "packed into \(Format.count(trainingRows, "row")) of \(Format.integer(sequenceLength)), "
                + "\(Self.percent(fill(trainingRows))) filled; one a row would be \(alone)"
            : "one example a row of \(Format.integer(sequenceLength)) at most, \(alone)"
        return ([first, rows] + [totals.report.summary].compactMap { $0 }).joined(separator: "\n        ")
    }

    private static func percent(_ share: Double) -> String { "\(Format.decimal(100 * share, places: 1))%" }

    package func batch(step: Int, part: Int) -> TokenBatch {
        precondition(step >= 0 && 0 <= part && part < accumulation, "no such batch")
        let first = (step * accumulation + part) * batchSize
        let draws = ShuffledOrder.draws(first..<first + batchSize, of: trainingRows, seed: seed)
        return batch(of: draws.map(row))
    }

    package var evaluationBatches: Int { (evaluation.count + batchSize - 1) / batchSize }

    package func evaluationBatch(_ index: Int) -> TokenBatch {
        precondition(0 <= index && index < evaluationBatches, "no such evaluation batch")
        let first = index * batchSize
        let rows = (first..<min(first + batchSize, evaluation.count)).map { evaluation[$0] }
        return batch(of: rows.map { $0.map { examples[$0] } })
    }

    package func tokens(before step: Int) -> Int {
        let draws = step * accumulation * batchSize
        let (epochs, rest) = draws.quotientAndRemainder(dividingBy: trainingRows)
        let last = ShuffledOrder.draws(draws - rest..<draws, of: trainingRows, seed: seed)
        return last.reduce(epochs * trainingTokens) { $0 + totals.tokens(of: training[$1]) }
    }

    /// Rows filled up on the right to a common length with tokens that no label counts.
    package func batch(of rows: [[InstructionExample]]) -> TokenBatch {
        defer { examples.release() }
        let used = rows.map { $0.reduce(0) { $0 + $1.length } }
        let step = ExampleStream.lengthStep
        let longest = ((used.max() ?? 1) + step - 1) / step * step
        let length = hasFixedLength || isPacked ? sequenceLength : min(longest, sequenceLength)
        var (inputs, labels): ([Int32], [Int64]) = ([], [])
        inputs.reserveCapacity(rows.count * length)
        labels.reserveCapacity(rows.count * length)
        var documents: [[Range<Int>]] = []
        for (row, count) in zip(rows, used) {
            var ranges: [Range<Int>] = [], start = 0
            for example in row {
                inputs += example.tokens.dropLast()
                labels += example.labels
                ranges.append(start..<start + example.length)
                start += example.length
            }
            inputs += Array(repeating: 0, count: length - count)
            labels += Array(repeating: ExampleStream.ignored, count: length - count)
            documents.append(ranges)
        }
        var batch = TokenBatch(
            rows: rows.count, sequenceLength: length, inputs: inputs, labels: labels,
            tokens: used.reduce(0, +), weight: labels.count { $0 != ExampleStream.ignored })
        batch.documents = documents
        return batch
    }
}
