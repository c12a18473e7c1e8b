public import LigerRuntime

/// A row of numbers for each token.
public struct TokenEmbedding: Module {
    /// [vocabulary, hidden size].
    public let weight: Parameter

    /// The id whose row this layer gives no gradient, if any.
    public let paddingID: Int?

    package init(
        _ name: String, vocabulary: Int, hiddenSize: Int, paddingID: Int? = nil, _ style: ParameterStyle
    ) throws {
        weight = try style.weight(name, [vocabulary, hiddenSize])
        self.paddingID = paddingID
    }

    public var parameters: [Parameter] { [weight] }

    /// [tokens, hidden size] for ids [tokens], i64 or i32.
    ///
    /// - Throws: an error naming the first id outside of the vocabulary.
    public func callAsFunction(_ ids: NDArray, on tape: Tape) throws -> Tensor {
        try tape.tensor(of: weight).rows(ids, paddingID: paddingID)
    }
}
