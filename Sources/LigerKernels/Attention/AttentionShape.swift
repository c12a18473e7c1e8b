package import LigerRuntime

/// The sizes of one call of causal attention with grouped queries.
package struct AttentionShape: Sendable {
    package let batch: Int
    package let length: Int
    package let heads: Int
    package let kvHeads: Int
    package let headSize: Int
    /// What happens to scores.
    package let rule: AttentionRule

    /// Query heads that share a key head.
    package var group: Int { heads / kvHeads }
    /// What scores are multiplied by.
    package var scale: Float { rule.scale ?? 1 / Float(headSize).squareRoot() }
    /// Keys that a query sees at most; nil where no sequence of this length is longer than that.
    package var window: Int? { rule.window.flatMap { $0 < length ? $0 : nil } }

    package init(
        batch: Int, length: Int, heads: Int, kvHeads: Int, headSize: Int, rule: AttentionRule = .causal
    ) {
        precondition(kvHeads > 0 && heads % kvHeads == 0, "query heads share key heads evenly")
        (self.batch, self.length) = (batch, length)
        (self.heads, self.kvHeads, self.headSize) = (heads, kvHeads, headSize)
        self.rule = rule
    }

    /// - Throws: `RuntimeError` unless q is [batch, length, heads, D] and k and v [batch, length, kvHeads, D] of
    ///   the same type, contiguous, kvHeads divides heads, and the rule's numbers are above 0.
    package init(_ q: NDArray, _ k: NDArray, _ v: NDArray, rule: AttentionRule = .causal) throws {
        guard q.shape.count == 4, k.shape.count == 4 else {
            throw RuntimeError(
                "attention needs [batch, sequence, heads, head size]; found \(q.shape) and \(k.shape). "
                    + "Reshape them")
        }
        (batch, length, heads, headSize) = (q.shape[0], q.shape[1], q.shape[2], q.shape[3])
        kvHeads = k.shape[2]
        self.rule = rule
        try rule.check()
        guard kvHeads > 0, heads > 0, heads % kvHeads == 0 else {
            throw RuntimeError(
                "\(heads) query heads cannot share \(kvHeads) key heads. Use a divisor of \(heads)")
        }
        for (name, array) in [("k", k), ("v", v)] {
            try array.expect(name, shape: [batch, length, kvHeads, headSize], dtype: q.dtype)
        }
        guard q.isContiguous, k.isContiguous, v.isContiguous else {
            throw RuntimeError("attention needs contiguous arrays. Copy views first")
        }
    }
}
