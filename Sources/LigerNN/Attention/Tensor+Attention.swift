package import LigerKernels
import LigerRuntime

extension Tensor {
    /// Causal attention of these queries [batch, sequence, heads, D] over keys and values
    /// [batch, sequence, kvHeads, D]; see `CausalAttention`.
    package func attending(
        to keys: Tensor, _ values: Tensor, rule: AttentionRule = .causal, documents: DocumentBorders? = nil,
        method: AttentionMethod = .auto
    ) throws -> Tensor {
        let (q, k, v) = (value, keys.value, values.value)
        let (output, saved) = try CausalAttention.forward(
            q: q, k: k, v: v, rule: rule, documents: documents, method: method)
        return tape.record(output, from: [self, keys, values]) { upstream in
            let (dq, dk, dv) = try CausalAttention.backward(
                dy: upstream.array, q: q, k: k, v: v, rule: rule, documents: documents, saved: saved)
            return [.array(dq), .array(dk), .array(dv)]
        }
    }
}
