/// Some sequences of equal length, row after row, and for each token the one that follows it.
public struct TokenBatch: Sendable, Equatable {
    /// Sequences.
    public let rows: Int
    /// Tokens per sequence.
    public let sequenceLength: Int
    /// Token ids, [rows, sequenceLength].
    public let inputs: [Int32]
    /// The token after each input, [rows, sequenceLength]: already shifted.
    public let labels: [Int64]
}
