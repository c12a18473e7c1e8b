/// One example as tokens, and which of them are learned.
package struct InstructionExample: Sendable, Equatable {
    /// Of the file, counted from 1.
    package let line: Int
    /// All tokens; the model reads all but the last.
    package let tokens: [Int32]
    /// Places of tokens that are learned: ascending, apart, each after the first token.
    package let learned: [Range<Int>]

    /// - Parameter learned: ascending; nothing comes before a first token, which is passed over.
    package init(line: Int, tokens: [Int32], learned: [Range<Int>]) {
        (self.line, self.tokens) = (line, tokens)
        self.learned = learned.map { max(1, $0.lowerBound)..<max(1, $0.upperBound) }.filter { !$0.isEmpty }
    }

    /// Tokens that the model reads.
    package var length: Int { max(0, tokens.count - 1) }

    /// How many tokens are learned.
    package var learnedCount: Int { learned.reduce(0) { $0 + $1.count } }

    /// The first token that ends a text right after an answer, and is not learned; nil where answers end otherwise.
    func unlearnedEnd(_ ends: Set<Int32>) -> Int32? {
        learned.lazy.filter { !ends.contains(tokens[$0.upperBound - 1]) && $0.upperBound < tokens.count }
            .map { tokens[$0.upperBound] }.first(where: ends.contains)
    }

    /// With as many tokens as the model can read, and the one after them.
    func cut(to length: Int) -> InstructionExample {
        guard self.length > length else { return self }
        return InstructionExample(
            line: line, tokens: Array(tokens[...length]),
            learned: learned.compactMap { $0.lowerBound <= length ? $0.clamped(to: 0..<length + 1) : nil })
    }

    /// The token that follows each one that the model reads, or the label that does not count.
    var labels: [Int64] {
        var labels = [Int64](repeating: ExampleStream.ignored, count: length)
        for place in learned.joined() { labels[place - 1] = Int64(tokens[place]) }
        return labels
    }

    /// Runs of tokens that are learned, or are not, in order.
    var runs: [(tokens: ArraySlice<Int32>, isLearned: Bool)] {
        var runs: [(ArraySlice<Int32>, Bool)] = [], start = 0
        for range in learned {
            if start < range.lowerBound { runs.append((tokens[start..<range.lowerBound], false)) }
            runs.append((tokens[range], true))
            start = range.upperBound
        }
        if start < tokens.count { runs.append((tokens[start...], false)) }
        return runs
    }
}
