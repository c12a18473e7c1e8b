public import LigerRuntime

/// A row of numbers for each token.
public struct TokenEmbedding {
    /// [vocabulary, hidden size].
    public let weight: Parameter

    /// The id whose row this layer gives no gradient, if any.
    public let paddingID: Int?

    /// What rows are multiplied by.
    public let scale: Float

    package init(
        _ scope: ParameterScope, vocabulary: Int, hiddenSize: Int, paddingID: Int? = nil, scale: Float = 1
    ) {
        self.scale = scale
        weight = scope.weight([vocabulary, hiddenSize])
        self.paddingID = paddingID
    }

    /// [tokens, hidden size] for ids [tokens], i64 or i32.
    ///
    /// - Throws: an error naming the first id outside of the vocabulary.
    public func callAsFunction(_ ids: NDArray, on tape: Tape) throws -> Tensor {
        try tape.tensor(of: weight).rows(ids, paddingID: paddingID).scaled(by: scale)
    }
}
