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
    private let isPacked: Bool
    private let hasFixedLength: Bool
    /// Those that are left, cut where they were too long.
    package let examples: [InstructionExample]
    private let lengths: LengthReport
    private let training: RowPacking
    private let evaluation: RowPacking
    /// Examples in one epoch.
    package let trainingExamples: Int

    /// - Parameters:
    ///   - examples: of the file in `path`, each with something to learn.
    /// - Throws: `TrainerError` (`textTooShort`): an example is too long and `--over-length` is `refuse`, or there are too
    ///   few.
    package init(_ examples: [InstructionExample], of path: String, _ options: TrainingOptions) throws {
        sequenceLength = options.sequenceLength
        accumulation = options.accumulate
        batchSize = options.batch
        seed = options.seed
        isPacked = options.packsRows
        hasFixedLength = options.execution.graph
        (self.examples, lengths) = try LengthReport.fitting(
            examples, of: path, to: options.sequenceLength, options.instructions.resolvedOverLength)
        let evaluates = options.evaluationFraction > 0, count = self.examples.count
        guard count >= (evaluates ? 2 : 1) else {
            throw Self.tooFew(count, of: path, lengths)
        }
        let share = Int((Double(count) * options.evaluationFraction).rounded())
        trainingExamples = count - (evaluates ? min(max(1, share), count - 1) : 0)
        let trained = ShuffledOrder.draws(0..<trainingExamples, of: trainingExamples, seed: seed)
        let kept = Array(trainingExamples..<count)
        if isPacked {
            let sizes = self.examples.map(\.length)
            training = RowPacking(lengths: sizes, order: trained, capacity: sequenceLength)
            evaluation = RowPacking(lengths: sizes, order: kept, capacity: sequenceLength)
        } else {
            training = RowPacking(apart: trained)
            evaluation = RowPacking(apart: kept)
        }
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
    package var trainingRows: Int { training.rows.count }

    /// The examples of a row.
    package func row(_ index: Int) -> [InstructionExample] { training.rows[index].map { examples[$0] } }

    /// The share of places in training's rows that examples take, if rows are so long as `--seq`.
    private func fill(_ rows: Int) -> Double {
        let places = examples[..<trainingExamples].reduce(0) { $0 + $1.length }
        return Double(places) / Double(rows * sequenceLength)
    }
}

extension InstructionStream: BatchStream {
    package var tokenCount: Int { examples.reduce(0) { $0 + $1.length } }

    package var stepSummary: String {
        let rows = batchSize * accumulation
        return isPacked
            ? "\(Format.count(rows, "row")) of \(Format.integer(sequenceLength)) a step"
            : "\(Format.count(rows, "example")) a step"
    }

    package var fingerprint: String {
        var fingerprint = Fingerprint()
        for example in examples {
            fingerprint.add(Int32(truncatingIfNeeded: example.tokens.count))
            for token in example.tokens { fingerprint.add(token) }
            // Which of them are learned is part of it.
            for range in example.learned {
                fingerprint.add(Int32(truncatingIfNeeded: range.lowerBound))
                fingerprint.add(Int32(truncatingIfNeeded: range.upperBound))
            }
        }
        return fingerprint.digits
    }

    package func summary(tokenizer: String) -> String {
        let learned = examples.reduce(0) { $0 + $1.learnedCount }
        let first =
            "\(Format.integer(tokenCount)) tokens (\(tokenizer)), \(Format.integer(learned)) of them learned: "
            + "\(Format.count(trainingExamples, "example")) to train on, "
            + "\(Format.integer(examples.count - trainingExamples)) to evaluate"
        let alone = "\(Self.percent(fill(trainingExamples))) filled"
        let rows =
            isPacked
            ? "packed into \(Format.count(trainingRows, "row")) of \(Format.integer(sequenceLength)), "
                + "\(Self.percent(fill(trainingRows))) filled; one a row would be \(alone)"
            : "one example a row of \(Format.integer(sequenceLength)) at most, \(alone)"
        return ([first, rows] + [lengths.summary].compactMap { $0 }).joined(separator: "\n        ")
    }

    private static func percent(_ share: Double) -> String { "\(Format.decimal(100 * share, places: 1))%" }

    package func batch(step: Int, part: Int) -> TokenBatch {
        precondition(step >= 0 && 0 <= part && part < accumulation, "no such batch")
        let first = (step * accumulation + part) * batchSize
        let draws = ShuffledOrder.draws(first..<first + batchSize, of: trainingRows, seed: seed)
        return batch(of: draws.map(row))
    }

    package var evaluationBatches: Int { (evaluation.rows.count + batchSize - 1) / batchSize }

    package func evaluationBatch(_ index: Int) -> TokenBatch {
        precondition(0 <= index && index < evaluationBatches, "no such evaluation batch")
        let first = index * batchSize
        let rows = evaluation.rows[first..<min(first + batchSize, evaluation.rows.count)]
        return batch(of: rows.map { $0.map { examples[$0] } })
    }

    package func tokens(before step: Int) -> Int {
        let draws = step * accumulation * batchSize
        let (epochs, rest) = draws.quotientAndRemainder(dividingBy: trainingRows)
        let perEpoch = examples[..<trainingExamples].reduce(0) { $0 + $1.length }
        let last = ShuffledOrder.draws(draws - rest..<draws, of: trainingRows, seed: seed)
        return last.reduce(epochs * perEpoch) { $0 + row($1).reduce(0) { $0 + $1.length } }
    }

    /// Rows filled up on the right to a common length with tokens that no label counts.
    package func batch(of rows: [[InstructionExample]]) -> TokenBatch {
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
