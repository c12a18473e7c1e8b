package import LigerRuntime
package import Tile

/// Exact causal attention with grouped queries (Ainslie et al., 2023), by blocks of queries:
///
///     s[t, u] = q[t] · k[u] / sqrt(D), u <= t       lse[t] = log(sum_u exp(s[t, u]))
///     p = exp(s - lse)                              o[t] = sum_u p[t, u] v[u]
///
/// and backward, with delta[t] = dy[t] · o[t] (Dao, 2023):
///
///     dp[t, u] = dy[t] · v[u]        ds = p (dp - delta) / sqrt(D)
///     dq = ds k                      dk = ds' q                        dv = p' dy
///
/// q and o are [batch, length, heads, D], k and v [batch, length, kvHeads, D], contiguous, f32, bf16 or f16; lse
/// is [batch, heads, length] in f32. Sums are in fp32 throughout; in 16 bits p and ds are rounded once, before
/// they meet the other factor (forward before p gets its denominator). Saved for the backward pass: q, k, v, o and lse.
///
/// With a window w of keys u > t - w count alone; with documents that share a row, those of t's document; with a softcap c,
/// c tanh(s / c) stands for s, and ds is multiplied by that function's slope (`AttentionRule`).
///
/// A block is some queries of some key heads, with the keys that one of them sees: two batches of matrix
/// products and two kernels, backward five and one. Blocks beyond the diagonal and before the window are skipped. Scores of one block
/// exist at a time, in memory bounded by a budget, so that memory is linear in the length. Sums over blocks
/// are in a fixed order, in fp32. Nothing waits for the device. Where heads share keys, they are copied next to
/// each other first, so that one product serves them.
///
/// Operations: 2 batch heads length^2 D forward and 5 backward, in addition to what blocks on the diagonal compute in
/// vain. Bytes moved per score that is seen, with t bytes of storage: 12 + 2 t forward, 16 + 5 t backward, which
/// a GPU's second-level cache takes where the budget fits it.
package enum BlockedAttention {
    /// Bytes of f32 scores that exist at a time. On an H200, batch 8 of 4,096 tokens, 32 heads of 128 with 8 key
    /// heads, forward and backward take 35.4 ms with 64 MiB, 32.3 with 128 and 29.0 with 512.
    package static let defaultBudgetBytes = 512 << 20

    /// - Parameters:
    ///   - rule: what happens to scores.
    ///   - documents: where documents begin that share a row; nil where each row is one.
    ///   - budgetBytes: of f32 scores; at least 16 queries of one key head are done at a time.
    /// - Returns: o like q, and lse.
    /// - Throws: `RuntimeError` if shapes do not fit or memory runs out.
    package static func forward(
        q: NDArray, k: NDArray, v: NDArray, rule: AttentionRule = .causal,
        documents: DocumentBorders? = nil, budgetBytes: Int = defaultBudgetBytes
    ) throws -> (output: NDArray, logSumExp: NDArray) {
        let plan = try AttentionPlan(q, k, v, rule, documents, budgetBytes)
        let (shape, device) = (plan.shape, q.device)
        let output = try NDArray(empty: q.shape, dtype: q.dtype, device: device)
        let lse = try NDArray(empty: [shape.batch, shape.heads, shape.length], device: device)
        if q.count == 0 { return (output, lse) }
        let operands = try Operands(plan, q: q, k: k, v: v)
        let blocks = plan.blocks
        let scores = try AttentionWorkspace(blocks, dtype: .f32, device: device)
        let exponentials = try AttentionWorkspace(blocks, dtype: q.dtype, device: device)
        let mostRows = blocks.lazy.map(\.rows).max() ?? 0
        let sums = try NDArray(empty: [mostRows, shape.headSize], device: device)
        let weights = try NDArray(empty: [mostRows], device: device)
        for block in blocks {
            let (units, queries, keys) = (block.units, block.queries, block.keys)
            let (own, weights) = (sums.sliced(0, 0..<block.rows), weights.sliced(0, 0..<block.rows))
            try MatMul.applyBatched(
                operands.q.part(units, queries), operands.k.part(units, keys), transposeB: true,
                into: scores.matrices(block))
            try AttentionSoftmax.forward(
                scores: scores.rows(block), into: exponentials.rows(block), weights: weights,
                logSumExp: perQuery(lse, block), plan.view(of: block))
            try MatMul.applyBatched(
                exponentials.matrices(block), operands.v.part(units, keys),
                into: own.reshaped([units.count, block.rows / units.count, shape.headSize]))
            try AttentionSoftmax.weigh(
                own, by: weights, into: output, units: units, queries: queries, heads: shape.group)
        }
        return (output, lse)
    }

    /// Gradients of a scalar with respect to q, k and v, given its gradient with respect to o.
    ///
    /// - Parameters:
    ///   - output: as `forward` returned it, and `logSumExp`.
    ///   - rule: as given to `forward`, and `documents`.
    ///   - budgetBytes: as for `forward`, and once more for the scores' gradients.
    /// - Returns: dq like q, dk and dv like k.
    /// - Throws: `RuntimeError` if shapes do not fit or memory runs out.
    package static func backward(
        dy: NDArray, q: NDArray, k: NDArray, v: NDArray, output: NDArray, logSumExp: NDArray,
        rule: AttentionRule = .causal, documents: DocumentBorders? = nil,
        budgetBytes: Int = defaultBudgetBytes
    ) throws -> (dq: NDArray, dk: NDArray, dv: NDArray) {
        let plan = try AttentionPlan(q, k, v, rule, documents, budgetBytes)
        let shape = plan.shape
        for (name, array) in [("dy", dy), ("output", output)] {
            try array.expect(name, shape: q.shape, dtype: q.dtype)
            guard array.isContiguous else {
                throw RuntimeError("attention's \(name) must be contiguous. Copy the view first")
            }
        }
        try logSumExp.expect("logSumExp", shape: [shape.batch, shape.heads, shape.length], dtype: .f32)
        let dq = try NDArray(empty: q.shape, dtype: q.dtype, device: q.device)
        let dk = try NDArray(empty: k.shape, dtype: k.dtype, device: k.device)
        let dv = try NDArray(empty: v.shape, dtype: v.dtype, device: v.device)
        if q.count == 0 { return (dq, dk, dv) }
        let pass = try BackwardPass(plan, dy: dy, q: q, k: k, v: v, output: output, logSumExp, dq: dq)
        for block in pass.blocks { try pass.run(block) }
        try pass.finish(dq: dq, dk: dk, dv: dv)
        return (dq, dk, dv)
    }

    /// Bytes that `forward` or `backward` takes in addition to operands and results; on the processor products take
    /// some more.
    package static func workspaceBytes(
        _ shape: AttentionShape, dtype: DType, isBackward: Bool, budgetBytes: Int = defaultBudgetBytes
    ) -> Int {
        AttentionPlan(shape, budgetBytes: budgetBytes).workspaceBytes(dtype, isBackward: isBackward)
    }

    /// Scores that a pass computes, for all heads.
    package static func scoreCount(_ shape: AttentionShape) -> Int {
        AttentionPlan(shape, budgetBytes: defaultBudgetBytes).blocks.reduce(0) {
            $0 + $1.rows * $1.keys.count
        }
    }

    /// The values of a block's queries in [batch, heads, length]: [units, queries, heads of a unit].
    static func perQuery(_ x: NDArray, _ block: AttentionPlan.Block) -> NDArray {
        let length = x.shape[2]
        return NDArray(
            buffer: x.buffer,
            offset: x.offset + block.units.lowerBound * block.group * length + block.queries.lowerBound,
            shape: [block.units.count, block.queries.count, block.group],
            strides: [block.group * length, 1, length], dtype: x.dtype)
    }

    /// q, k and v by units.
    struct Operands {
        let q: AttentionHeads
        let k: AttentionHeads
        let v: AttentionHeads

        init(_ plan: AttentionPlan, q: NDArray, k: NDArray, v: NDArray) throws {
            self.q = try plan.heads(q, folded: plan.shape.group)
            self.k = try plan.heads(k, folded: 1)
            self.v = try plan.heads(v, folded: 1)
        }
    }
}

extension AttentionPlan {
    /// - Throws: `RuntimeError` if shapes do not fit.
    fileprivate init(
        _ q: NDArray, _ k: NDArray, _ v: NDArray, _ rule: AttentionRule, _ documents: DocumentBorders?,
        _ budgetBytes: Int
    ) throws {
        let shape = try AttentionShape(q, k, v, rule: rule)
        try documents?.check(batch: shape.batch, length: shape.length)
        self.init(shape, documents: documents, budgetBytes: budgetBytes)
    }

    /// An operand by units: where it lies, or packed.
    func heads(_ x: NDArray, folded: Int) throws -> AttentionHeads {
        packs ? try .packing(x, folded: folded) : AttentionHeads(x, folded: folded)
    }
}

extension AttentionHeads {
    /// Unset memory of the same form, of the same type by default.
    func another(_ dtype: DType? = nil) throws -> AttentionHeads {
        let packed = try NDArray(empty: array.shape, dtype: dtype ?? array.dtype, device: array.device)
        return AttentionHeads(packed: packed, folded: folded)
    }
}
