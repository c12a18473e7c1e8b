package import LigerKernels
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
        /// The names of that one and of the output's, and whether their weights are stored as [inputs, outputs].
        package var names = Names()
        /// Whether `q_proj`, `k_proj` and `v_proj` have biases.
        package var inputBias = false
        /// Whether `o_proj` has one.
        package var outputBias = false
        /// Of the RMS norms that each head's queries and keys go through (`q_norm`, `k_norm`); nil for no norms.
        package var headNorm: RMSNorm.Options?
        /// Eps of the RMS norms that all queries, and all keys, of a token go through at once, before they are cut into
        /// heads; nil for no norms.
        package var wideNormEps: Float?
        /// Which keys a query sees, and what happens to scores.
        package var rule = AttentionRule.causal
        /// Rotary positions; nil for none.
        package var rotary: RotaryTables?

        package init(
            isJoint: Bool = false, names: Names = Names(), inputBias: Bool = false, outputBias: Bool = false,
            headNorm: RMSNorm.Options? = nil, wideNormEps: Float? = nil, rule: AttentionRule = .causal,
            rotary: RotaryTables?
        ) {
            self.isJoint = isJoint
            self.names = names
            self.wideNormEps = wideNormEps
            self.rule = rule
            self.inputBias = inputBias
            self.outputBias = outputBias
            self.headNorm = headNorm
            self.rotary = rotary
        }
    }

    /// How checkpoints name projections, where families differ, and store them.
    package struct Names {
        var joint = "qkv_proj"
        var output = "o_proj"
        var isTransposed = false

        package init(joint: String = "qkv_proj", output: String = "o_proj", isTransposed: Bool = false) {
            (self.joint, self.output, self.isTransposed) = (joint, output, isTransposed)
        }
    }

    /// `q_proj`, `k_proj` and `v_proj`, or `qkv_proj` alone.
    public let inputs: [Linear]
    /// `o_proj`.
    public let output: Linear
    private let queryNorm: RootMeanSquareNorm?
    private let keyNorm: RootMeanSquareNorm?
    private let normsBeforeHeads: Bool
    private let rule: AttentionRule
    private let rotary: RotaryTables?
    private let heads: HeadCounts

    package init(_ scope: ParameterScope, hiddenSize: Int, _ heads: HeadCounts, _ options: Options) {
        /// - Parameter count: of heads.
        func input(_ name: String, _ count: Int) -> Linear {
            Linear(
                scope[name], inputs: hiddenSize, outputs: count * heads.size, hasBias: options.inputBias,
                isTransposed: options.names.isTransposed, part: .heads)
        }
        func norm(_ name: String, _ count: Int) -> RootMeanSquareNorm? {
            if let eps = options.wideNormEps {
                return RootMeanSquareNorm(
                    scope[name], size: count * heads.size, .init(eps: eps, casting: .none))
            }
            return options.headNorm.map { RootMeanSquareNorm(scope[name], size: heads.size, $0) }
        }
        self.heads = heads
        rotary = options.rotary
        inputs =
            options.isJoint
            ? [input(options.names.joint, heads.query + 2 * heads.keyValue)]
            : [
                input("q_proj", heads.query), input("k_proj", heads.keyValue),
                input("v_proj", heads.keyValue),
            ]
        output = Linear(
            scope[options.names.output], inputs: heads.query * heads.size, outputs: hiddenSize,
            hasBias: options.outputBias, isTransposed: options.names.isTransposed, part: .output)
        queryNorm = norm("q_norm", heads.query)
        keyNorm = norm("k_norm", heads.keyValue)
        normsBeforeHeads = options.wideNormEps != nil
        rule = options.rule
        scope.note(rule)
    }

    /// [batch * length, hidden size], as x.
    public func callAsFunction(_ x: Tensor, _ context: SequenceContext) throws -> Tensor {
        let (query, key, value) = try projected(x)
        let q = try placed(query, heads.query, queryNorm, context)
        let k = try placed(key, heads.keyValue, keyNorm, context)
        let v = split(value, heads.keyValue, context)
        let attended =
            try context.cache?.attending(q, k, v, rule, context.attention)
            ?? q.attending(
                to: k, v, rule: rule, documents: context.documents, method: context.attention)
        return try output(
            attended.reshaped([context.batch * context.length, heads.query * heads.size]))
    }

    /// Queries, keys and values, [batch * length, heads * head size] each.
    private func projected(_ x: Tensor) throws -> (query: Tensor, key: Tensor, value: Tensor) {
        let (wide, narrow) = (heads.query * heads.size, heads.keyValue * heads.size)
        let parts =
            try inputs.count == 1 ? inputs[0](x).columns([wide, narrow, narrow]) : inputs(x)
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
