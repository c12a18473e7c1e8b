import LigerRuntime

/// Heads of attention; each key and value head is shared by `query / keyValue` query heads.
public struct HeadCounts: Sendable, Hashable {
    /// Query heads.
    public let query: Int
    /// Key and value heads; divides `query`.
    public let keyValue: Int
    /// Numbers per head.
    public let size: Int

    package init(query: Int, keyValue: Int, size: Int) {
        self.query = query
        self.keyValue = keyValue
        self.size = size
    }
}

/// Causal self-attention with grouped queries:
///
///     output(attention(rotated(norm(query(x))), rotated(norm(key(x))), value(x)))
///
/// Norms of heads and rotary positions are left out where an architecture has none.
public struct SelfAttention: Layer {
    /// What may differ from one architecture to another.
    package struct Options {
        /// Whether `q_proj`, `k_proj` and `v_proj` have biases.
        package var inputBias = false
        /// Whether `o_proj` has one.
        package var outputBias = false
        /// Eps of the RMS norms that each head's queries and keys go through (`q_norm`, `k_norm`); nil for no norms.
        package var headNormEps: Float?
        /// Rotary positions; nil for none.
        package var rotary: RotaryTables?

        package init(
            inputBias: Bool = false, outputBias: Bool = false, headNormEps: Float? = nil,
            rotary: RotaryTables?
        ) {
            self.inputBias = inputBias
            self.outputBias = outputBias
            self.headNormEps = headNormEps
            self.rotary = rotary
        }
    }

    /// `q_proj`.
    public let query: Linear
    /// `k_proj`.
    public let key: Linear
    /// `v_proj`.
    public let value: Linear
    /// `o_proj`.
    public let output: Linear
    private let queryNorm: RootMeanSquareNorm?
    private let keyNorm: RootMeanSquareNorm?
    private let rotary: RotaryTables?
    private let heads: HeadCounts

    package init(_ scope: ParameterScope, hiddenSize: Int, _ heads: HeadCounts, _ options: Options) {
        func input(_ name: String, _ count: Int) -> Linear {
            Linear(
                scope[name], inputs: hiddenSize, outputs: count * heads.size, hasBias: options.inputBias)
        }
        func norm(_ name: String) -> RootMeanSquareNorm? {
            options.headNormEps.map { RootMeanSquareNorm(scope[name], size: heads.size, eps: $0) }
        }
        self.heads = heads
        rotary = options.rotary
        query = input("q_proj", heads.query)
        key = input("k_proj", heads.keyValue)
        value = input("v_proj", heads.keyValue)
        output = Linear(
            scope["o_proj"], inputs: heads.query * heads.size, outputs: hiddenSize,
            hasBias: options.outputBias)
        queryNorm = norm("q_norm")
        keyNorm = norm("k_norm")
    }

    /// [batch * length, hidden size], as x.
    public func callAsFunction(_ x: Tensor, _ context: SequenceContext) throws -> Tensor {
        let q = try split(query(x), heads.query, context)
        let k = try split(key(x), heads.keyValue, context)
        let v = try split(value(x), heads.keyValue, context)
        let attended = try placed(q, queryNorm, context).attending(
            to: placed(k, keyNorm, context), v, method: context.attention)
        return try output(
            attended.reshaped([context.batch * context.length, heads.query * heads.size]))
    }

    /// [batch, length, heads, head size].
    private func split(_ x: Tensor, _ count: Int, _ context: SequenceContext) -> Tensor {
        x.reshaped([context.batch, context.length, count, heads.size])
    }

    /// Queries or keys after their norm, at their positions.
    private func placed(
        _ x: Tensor, _ norm: RootMeanSquareNorm?, _ context: SequenceContext
    ) throws -> Tensor {
        let normed = try norm.map { try $0(x, context) } ?? x
        return try rotary.map { try $0.rotating(normed, context) } ?? normed
    }
}
