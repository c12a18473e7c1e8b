package import LigerKernels
import LigerRuntime

extension Tensor {
    /// Causal attention of these queries [batch, sequence, heads, D] over keys and values
    /// [batch, sequence, kvHeads, D]; see `CausalAttention`.
    package func attending(
        to keys: Tensor, _ values: Tensor, rule: AttentionRule = .causal, documents: DocumentBorders? = nil,
        method: AttentionMethod = .auto
    ) throws -> Tensor {
        let forward = { (q: NDArray, k: NDArray, v: NDArray) in
            try CausalAttention.forward(
                q: q, k: k, v: v, rule: rule, documents: documents, method: method)
        }
        let (q, k, v) = (saved, keys.saved, values.saved)
        let (output, saved) = try forward(value, keys.value, values.value)
        let again = tape.recipe(.attention, operations: operations(rule)) {
            try forward(q.array(), k.array(), v.array())
        }
        // On the processor the backward pass needs no more than the operands.
        let (needsMore, kept) = (saved != nil, again == nil ? saved : nil)
        let result = again.map { both in Recipe { try both.value().output } }
        return tape.record(output, from: [self, keys, values], recipe: result) { upstream in
            let more = needsMore ? try again?.value().saved ?? kept : nil
            let (dq, dk, dv) = try CausalAttention.backward(
                dy: upstream.array, q: q.array(), k: k.array(), v: v.array(), rule: rule,
                documents: documents, saved: more)
            return [.array(dq), .array(dk), .array(dv)]
        }
    }

    /// Those of the two products, over the keys that each of these queries sees in a row that is one document.
    private func operations(_ rule: AttentionRule) -> Double {
        let length = Double(shape[1]), window = min(length, Double(rule.window ?? .max))
        let keys = window * (window + 1) / 2 + (length - window) * window
        return 4 * Double(shape[0] * shape[2] * shape[3]) * keys
    }
}
