/// A stream whose batches are made of rows, so that rows of several streams can share a batch.
protocol RowStream: BatchStream {
    associatedtype Row

    /// Rows per batch.
    var batchSize: Int { get }
    /// Rows in one epoch.
    var trainingRows: Int { get }
    /// Rows that are kept for evaluation.
    var evaluationRows: Int { get }
    /// Tokens trained on in one epoch.
    var trainingTokens: Int { get }

    func trainingRow(_ index: Int) -> Row
    func evaluationRow(_ index: Int) -> Row
    /// Tokens trained on in one of training's rows.
    func tokens(inTrainingRow index: Int) -> Int
    /// A batch of some rows.
    ///
    /// - Parameter next: the row that would come behind them.
    func batch(of rows: [Row], next: Row) -> TokenBatch
    /// What a step of so many rows reads, in words.
    func summary(ofStep rows: Int) -> String
    /// What there is, for people; all of it to train on or to keep for evaluation, or to evaluate alone.
    func summary(tokenizer: String, evaluatesAlone: Bool) -> String
    /// What became of examples that are too long, for people; nil where none is.
    var lengthSummary: String? { get }
}

extension RowStream {
    package func summary(tokenizer: String) -> String { summary(tokenizer: tokenizer, evaluatesAlone: false) }

    /// `32 examples to train on, 8 to evaluate`; `32 examples` of data that is only evaluated.
    func counts(_ training: Int, _ evaluation: Int, _ noun: String, evaluatesAlone: Bool) -> String {
        let all = Format.count(training, noun)
        if evaluatesAlone { return all }
        return "\(all) to train on" + (evaluation == 0 ? "" : ", \(Format.integer(evaluation)) to evaluate")
    }
}

extension TokenStream: RowStream {
    var trainingRows: Int { trainingSequences }
    var evaluationRows: Int { evaluationSequences }
    var trainingTokens: Int { trainingSequences * sequenceLength }

    func trainingRow(_ index: Int) -> [Int32] {
        let start = index * sequenceLength
        defer { source.release() }
        return source[start..<start + sequenceLength + 1]
    }

    func evaluationRow(_ index: Int) -> [Int32] { trainingRow(trainingSequences + index) }
    func tokens(inTrainingRow index: Int) -> Int { sequenceLength }
    var lengthSummary: String? { nil }
    func summary(ofStep rows: Int) -> String { "\(Format.integer(rows * sequenceLength)) tokens a step" }

    func batch(of rows: [[Int32]], next: [Int32]) -> TokenBatch {
        let count = rows.count * sequenceLength
        return TokenBatch(
            rows: rows.count, sequenceLength: sequenceLength, inputs: rows.flatMap { $0.dropLast() },
            labels: rows.flatMap { $0.dropFirst().lazy.map(Int64.init) }, tokens: count, weight: count)
    }
}

extension InstructionStream: RowStream {
    var evaluationRows: Int { evaluation.count }
    func trainingRow(_ index: Int) -> [InstructionExample] { row(index) }
    func evaluationRow(_ index: Int) -> [InstructionExample] { evaluation[index].map { examples[$0] } }
    func tokens(inTrainingRow index: Int) -> Int { totals.tokens(of: training[index]) }
    var lengthSummary: String? { totals.report.summary }
    func batch(of rows: [[InstructionExample]], next: [InstructionExample]) -> TokenBatch { batch(of: rows) }

    func summary(ofStep rows: Int) -> String {
        isPacked
            ? "\(Format.count(rows, "row")) of \(Format.integer(sequenceLength)) a step"
            : "\(Format.count(rows, "example")) a step"
    }
}

extension ExampleStream: RowStream {
    var trainingRows: Int { trainingExamples }
    var evaluationRows: Int { examples.count - trainingExamples }
    var trainingTokens: Int { totals.trainingTokens }
    func trainingRow(_ index: Int) -> Example { examples[index] }
    func evaluationRow(_ index: Int) -> Example { examples[trainingExamples + index] }
    func tokens(inTrainingRow index: Int) -> Int { tokens(of: examples[index]) }

    var lengthSummary: String? {
        guard totals.cut > 0 else { return nil }
        let lines = LengthReport.lines(totals.firstCut, of: totals.cut)
        return "\(Format.integer(totals.cut)) cut to --seq, \(lines)"
    }
    func batch(of rows: [Example], next: Example) -> TokenBatch { gather(rows, next: next) }
    func summary(ofStep rows: Int) -> String { "\(Format.count(rows, form.noun)) a step" }
}
