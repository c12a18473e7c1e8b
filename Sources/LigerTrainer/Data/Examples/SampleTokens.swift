/// An example of a run as tokens, to be shown before the run: one sequence, or of a pair both.
package struct SampleTokens: Sendable, Equatable {
    /// What the model reads at once.
    package struct Sequence: Sendable, Equatable {
        /// What the answer is, in words; nil where there is nothing to tell apart.
        package let title: String?
        package let example: InstructionExample

        package init(_ example: InstructionExample, title: String? = nil) {
            (self.title, self.example) = (title, example)
        }
    }

    package let sequences: [Sequence]
    /// Whether what counts in the loss is learned; of a rejected answer the contrary is.
    package let isLearned: Bool

    /// - Parameter sequences: one or more, of one line.
    package init(_ sequences: [Sequence], isLearned: Bool) {
        precondition(!sequences.isEmpty, "a sample has a sequence")
        (self.sequences, self.isLearned) = (sequences, isLearned)
    }
}

extension InstructionStream {
    package var sample: SampleTokens? { SampleTokens([.init(row(0)[0])], isLearned: true) }
}

extension ExampleStream {
    /// The first that is drawn.
    package var sample: SampleTokens? {
        let example = examples[ShuffledOrder(count: trainingExamples, seed: seed, epoch: 0)[0]]
        let titles = form == .pairs ? ["chosen", "rejected"] : [example.judgement?.words]
        let sequences = zip(titles, example.answers).map { title, answer in
            let tokens = example.prompt + answer
            let whole = InstructionExample(
                line: example.line, tokens: tokens, learned: [example.prompt.count..<tokens.count])
            return SampleTokens.Sequence(whole.cut(to: sequenceLength), title: title)
        }
        return SampleTokens(sequences, isLearned: false)
    }
}

extension ExampleStream.Judgement {
    fileprivate var words: String {
        switch self {
        case .good: "good"
        case .bad: "bad"
        case .advantage(let value): "advantage \(Format.decimal(Double(value), places: 2))"
        }
    }
}
