extension TokenBatch {
    /// The examples of a batch that one of several ranks takes; nil where there are fewer examples than ranks.
    ///
    /// Rows are dealt in runs, the same number to each rank where that divides the batch. The rows of an example, such
    /// as a pair's answers, stay together: they are as far apart as there are examples.
    ///
    /// - Parameter rowsPerExample: 2 for pairs of answers, and for judged answers.
    func share(of ranks: Ranks, rowsPerExample: Int) -> TokenBatch? {
        if ranks.count == 1 { return self }
        let examples = rows / rowsPerExample
        let own = ranks.rank * examples / ranks.count..<(ranks.rank + 1) * examples / ranks.count
        if own.isEmpty { return nil }
        func dealt<Element>(_ values: [Element]) -> [Element] {
            (0..<rowsPerExample).flatMap { group in
                let (first, end) = (group * examples + own.lowerBound, group * examples + own.upperBound)
                return values[first * sequenceLength..<end * sequenceLength]
            }
        }
        var share = TokenBatch(
            rows: own.count * rowsPerExample, sequenceLength: sequenceLength, inputs: dealt(inputs),
            labels: dealt(labels), preferences: preferences.map { Array($0[own]) },
            advantages: advantages.map { Array($0[own]) },
            tokens: tokens * own.count / examples,
            // Means are over what the whole batch has.
            weight: weight)
        share.documents = documents.map { Array($0[own]) }
        return share
    }
}
