/// Several sources in one stream, or one with other data to evaluate.
///
/// Each source is cut into rows, and packed, by itself. A batch has rows of all, as `RowMixture` draws them. So a batch
/// depends on the seed and its step alone, as without a mixture.
struct MixedStream<Stream: RowStream>: BatchStream {
    private let parts: [Stream]
    private let evaluated: Stream?
    private let mixture: RowMixture
    private let names: [String]
    private let hasWeights: Bool
    let sequenceLength: Int
    let accumulation: Int
    private let batchSize: Int

    /// - Parameters:
    ///   - parts: of one kind and with equal options.
    ///   - names: of the parts, for people.
    ///   - weights: of the parts; nil for one pool of all rows.
    ///   - evaluated: whose training rows are evaluated; nil for what the parts keep.
    init(
        _ parts: [Stream], names: [String], weights: [Double]?, evaluated: Stream?, _ options: TrainingOptions
    ) {
        (self.parts, self.names, self.evaluated, hasWeights) = (parts, names, evaluated, weights != nil)
        mixture = RowMixture(rows: parts.map(\.trainingRows), weights: weights, seed: options.seed)
        sequenceLength = options.sequenceLength
        accumulation = options.accumulate
        batchSize = options.batch
    }

    var fingerprint: String {
        if parts.count == 1 { return parts[0].fingerprint }
        return Checksum.digits(of: Array(parts.map(\.fingerprint).joined(separator: " ").utf8))
    }

    var sample: SampleTokens? { parts[0].sample }
    var tokenCount: Int { parts.reduce(0) { $0 + $1.tokenCount } }
    /// As many as all sources have, of which those with small weights come less than once.
    var drawsPerEpoch: Int { parts.reduce(0) { $0 + $1.trainingRows } }
    var stepSummary: String { parts[0].summary(ofStep: batchSize * accumulation) }

    func batch(step: Int, part: Int) -> TokenBatch {
        precondition(step >= 0 && 0 <= part && part < accumulation, "no such batch")
        let first = (step * accumulation + part) * batchSize
        let rows = mixture.draws(first..<first + batchSize + 1).map { parts[$0.source].trainingRow($0.row) }
        return parts[0].batch(of: Array(rows.dropLast()), next: rows[batchSize])
    }

    private var evaluationRows: Int {
        evaluated?.trainingRows ?? parts.reduce(0) { $0 + $1.evaluationRows }
    }

    private func evaluationRow(_ index: Int) -> Stream.Row {
        if let evaluated { return evaluated.trainingRow(index) }
        var index = index, part = 0
        while index >= parts[part].evaluationRows {
            index -= parts[part].evaluationRows
            part += 1
        }
        return parts[part].evaluationRow(index)
    }

    var evaluationBatches: Int { (evaluationRows + batchSize - 1) / batchSize }

    func evaluationBatch(_ index: Int) -> TokenBatch {
        precondition(0 <= index && index < evaluationBatches, "no such evaluation batch")
        let first = index * batchSize, end = min(first + batchSize, evaluationRows)
        return parts[0].batch(
            of: (first..<end).map(evaluationRow), next: evaluationRow(end < evaluationRows ? end : 0))
    }

    func tokens(before step: Int) -> Int {
        let draws = step * accumulation * batchSize
        let total = parts.reduce(0) { $0 + $1.trainingRows }
        // Of a pool whole epochs are known; what weights draw is added up.
        let epochs = hasWeights ? 0 : draws / total
        let known = epochs * parts.reduce(0) { $0 + $1.trainingTokens }
        return mixture.draws(epochs * total..<draws).reduce(known) {
            $0 + parts[$1.source].tokens(inTrainingRow: $1.row)
        }
    }

    func summary(tokenizer: String) -> String {
        var lines: [String] = []
        for (index, part) in parts.enumerated() {
            let share = Format.decimal(100 * mixture.shares[index], places: 1)
            let name = parts.count > 1 ? "\(names[index]), \(share)% of the rows: " : ""
            lines.append(name + part.summary(tokenizer: tokenizer))
        }
        if let evaluated {
            lines.append("to evaluate: \(evaluated.summary(tokenizer: tokenizer, evaluatesAlone: true))")
        }
        return lines.joined(separator: "\n        ")
    }
}
