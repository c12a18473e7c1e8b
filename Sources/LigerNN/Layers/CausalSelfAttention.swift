import LigerRuntime

/// Grouped-query causal self-attention with rotary positions.
public struct CausalSelfAttention: Module {
    /// `q_proj`.
    public let query: Linear
    /// `k_proj`.
    public let key: Linear
    /// `v_proj`.
    public let value: Linear
    /// `o_proj`.
    public let output: Linear
    private let heads: Int
    private let kvHeads: Int
    private let headSize: Int

    init(_ name: String, _ configuration: DecoderConfiguration, _ style: ParameterStyle) throws {
        (heads, kvHeads) = (configuration.heads, configuration.kvHeads)
        headSize = configuration.headSize
        let (hidden, hasBias) = (configuration.hiddenSize, configuration.attentionBias)
        func linear(_ part: String, _ inputs: Int, _ outputs: Int) throws -> Linear {
            try Linear("\(name).\(part)", inputs: inputs, outputs: outputs, hasBias: hasBias, style)
        }
        query = try linear("q_proj", hidden, heads * headSize)
        key = try linear("k_proj", hidden, kvHeads * headSize)
        value = try linear("v_proj", hidden, kvHeads * headSize)
        output = try linear("o_proj", heads * headSize, hidden)
    }

    public var parameters: [Parameter] {
        query.parameters + key.parameters + value.parameters + output.parameters
    }

    /// [batch * length, hidden size], as x.
    public func callAsFunction(_ x: Tensor, _ context: SequenceContext) throws -> Tensor {
        let (batch, length) = (context.batch, context.length)
        let q = try query(x).reshaped([batch, length, heads, headSize])
        let k = try key(x).reshaped([batch, length, kvHeads, headSize])
        let v = try value(x).reshaped([batch, length, kvHeads, headSize])
        let attended = try rotated(q, context).attending(
            to: rotated(k, context), v, method: context.attention)
        return try output(attended.reshaped([batch * length, heads * headSize]))
    }

    private func rotated(_ x: Tensor, _ context: SequenceContext) throws -> Tensor {
        context.kernels.rope
            ? try Fused.rope(x, context.tables) : try Reference.rope(x, context.tables)
    }
}
