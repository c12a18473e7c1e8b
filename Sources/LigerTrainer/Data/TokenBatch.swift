/// Some sequences of equal length, row after row, and for each token the one that follows it.
public struct TokenBatch: Sendable, Equatable {
    /// Sequences.
    public let rows: Int
    /// Tokens per sequence.
    public let sequenceLength: Int
    /// Token ids, [rows, sequenceLength].
    public let inputs: [Int32]
    /// The token after each input, [rows, sequenceLength]: already shifted; -100 where it does not count.
    public package(set) var labels: [Int64]
    /// Of judged answers: 1 for a good one, 0 for a bad one. These come first among the rows.
    public var preferences: [Int32]?
    /// Of rated answers, a row each: how much better one is than the others to its prompt.
    public var advantages: [Float]?
    /// Tokens trained on, which padding is not.
    public let tokens: Int
    /// What the mean loss of the batch is a mean over: tokens, pairs or answers.
    public package(set) var weight: Int
    /// Of each row, the places of its examples, one after the other from the row's start; what follows is padding. Nil
    /// where rows are whole, or padding is left to labels.
    public var documents: [[Range<Int>]]?
}
