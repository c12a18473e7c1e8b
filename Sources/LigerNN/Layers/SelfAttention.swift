import LigerKernels
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
        /// Whether one projection, `qkv_proj`, makes queries, keys and values.
        package var isJoint = false
        /// Whether `q_proj`, `k_proj` and `v_proj` have biases.
        package var inputBias = false
        /// Whether `o_proj` has one.
        package var outputBias = false
        /// Eps of the RMS norms that each head's queries and keys go through (`q_norm`, `k_norm`); nil for no norms.
        package var headNormEps: Float?
        /// Eps of the RMS norms that all queries, and all keys, of a token go through at once, before they are cut into
        /// heads; nil for no norms.
        package var wideNormEps: Float?
        /// What queries are multiplied by, in addition to 1 / sqrt(head size).
        package var queryScale: Float = 1
        /// Rotary positions; nil for none.
        package var rotary: RotaryTables?

        package init(
            isJoint: Bool = false, inputBias: Bool = false, outputBias: Bool = false,
            headNormEps: Float? = nil,
            wideNormEps: Float? = nil, queryScale: Float = 1, rotary: RotaryTables?
        ) {
            self.isJoint = isJoint
            self.wideNormEps = wideNormEps
            self.queryScale = queryScale
            self.inputBias = inputBias
            self.outputBias = outputBias
            self.headNormEps = headNormEps
            self.rotary = rotary
        }
    }

    /// `q_proj`, `k_proj` and `v_proj`, or `qkv_proj` alone.
    public let inputs: [Linear]
    /// `o_proj`.
    public let output: Linear
    private let queryNorm: RootMeanSquareNorm?
    private let keyNorm: RootMeanSquareNorm?
    private let normsBeforeHeads: Bool
    private let queryScale: Float
    private let rotary: RotaryTables?
    private let heads: HeadCounts

    package init(_ scope: ParameterScope, hiddenSize: Int, _ heads: HeadCounts, _ options: Options) {
        /// - Parameter count: of heads.
        func input(_ name: String, _ count: Int) -> Linear {
            Linear(
                scope[name], inputs: hiddenSize, outputs: count * heads.size, hasBias: options.inputBias)
        }
        func norm(_ name: String, _ count: Int) -> RootMeanSquareNorm? {
            if let eps = options.wideNormEps {
                return RootMeanSquareNorm(
                    scope[name], size: count * heads.size, .init(eps: eps, casting: .none))
            }
            return options.headNormEps.map { RootMeanSquareNorm(scope[name], size: heads.size, eps: $0) }
        }
        self.heads = heads
        rotary = options.rotary
        inputs =
            options.isJoint
            ? [input("qkv_proj", heads.query + 2 * heads.keyValue)]
            : [
                input("q_proj", heads.query), input("k_proj", heads.keyValue),
                input("v_proj", heads.keyValue),
            ]
        output = Linear(
            scope["o_proj"], inputs: heads.query * heads.size, outputs: hiddenSize,
            hasBias: options.outputBias)
        queryNorm = norm("q_norm", heads.query)
        keyNorm = norm("k_norm", heads.keyValue)
        normsBeforeHeads = options.wideNormEps != nil
        queryScale = options.queryScale
    }

    /// [batch * length, hidden size], as x.
    public func callAsFunction(_ x: Tensor, _ context: SequenceContext) throws -> Tensor {
        let (query, key, value) = try projected(x)
        let q = try placed(query, heads.query, queryNorm, context).scaled(by: queryScale)
        let k = try placed(key, heads.keyValue, keyNorm, context)
        let v = split(value, heads.keyValue, context)
        let attended =
            try context.cache?.attending(q, k, v, context.attention)
            ?? q.attending(to: k, v, method: context.attention)
        return try output(
            attended.reshaped([context.batch * context.length, heads.query * heads.size]))
    }

    /// Queries, keys and values, [batch * length, heads * head size] each.
    private func projected(_ x: Tensor) throws -> (query: Tensor, key: Tensor, value: Tensor) {
        let (wide, narrow) = (heads.query * heads.size, heads.keyValue * heads.size)
        let parts =
            try inputs.count == 1 ? inputs[0](x).columns([wide, narrow, narrow]) : inputs.map { try $0(x) }
        return (parts[0], parts[1], parts[2])
    }

    /// [batch, length, heads, head size].
    private func split(_ x: Tensor, _ count: Int, _ context: SequenceContext) -> Tensor {
        x.reshaped([context.batch, context.length, count, heads.size])
    }

    /// Heads of queries or keys after their norm, at their positions.
    private func placed(
        _ x: Tensor, _ count: Int, _ norm: RootMeanSquareNorm?, _ context: SequenceContext
    ) throws -> Tensor {
        let projected = try normsBeforeHeads ? norm.map { try $0(x, context) } ?? x : x
        let cut = split(projected, count, context)
        let normed = try normsBeforeHeads ? cut : norm.map { try $0(cut, context) } ?? cut
        return try rotary.map { try $0.rotating(normed, context) } ?? normed
    }
}
