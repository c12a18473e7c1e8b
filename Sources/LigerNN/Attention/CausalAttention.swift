package import LigerKernels
package import LigerRuntime
package import Tile

/// Exact causal attention with grouped queries (Ainslie et al., 2023):
///
///     o[t, h] = sum over s <= t of softmax_s(q[t, h] · k[s, g] / sqrt(D)) v[s, g]     g = h kvHeads / heads
///
/// Shapes: q and o [batch, sequence, heads, D], k and v [batch, sequence, kvHeads, D], contiguous, f32, bf16
/// or f16; arithmetic in fp32. An `AttentionRule` may leave keys out that lie too far back, and bound scores; where
/// documents share rows (`DocumentBorders`), a token sees its own alone. Queries are handled in blocks, so that memory beyond operands and results
/// grows linearly with the sequence, and probabilities are computed again in the backward pass. Sums have an
/// order that depends on the shapes alone.
///
/// On the processor each thread works on a head, with the operands widened to fp32 and nothing saved but them.
/// On a GPU `FlashAttention` or `BlockedAttention` works on many heads at a time (`AttentionSelection` says which);
/// they round probabilities to the storage type, and save o and one fp32 number a query and head.
package enum CausalAttention {
    /// What a GPU's backward pass needs in addition to the operands: o and, per head and query, the logarithm of the
    /// sum of exponentials.
    package struct Saved: Sendable {
        let output: NDArray
        let logSumExp: NDArray
        /// The backward pass goes the way of the forward pass.
        let isFlash: Bool
    }

    /// The most bytes that the processor takes in addition to operands and results: what each thread works in.
    package static func workspaceBytes(_ shape: AttentionShape, _ dtype: DType, isBackward: Bool) -> Int {
        let tasks = shape.batch * (isBackward ? shape.kvHeads : shape.heads)
        return min(tasks, ThreadPool.shared.threadCount)
            * Worker.byteCount(shape, dtype, isBackward: isBackward)
    }

    /// Whether arrays of the processor take a GPU's way: so tests reach it without one.
    @TaskLocal package static var isAlwaysBlocked = false

    /// - Parameters:
    ///   - rule: what happens to scores.
    ///   - documents: where documents begin that share a row; nil where each row is one.
    ///   - method: on a GPU.
    /// - Returns: o, and what the backward pass is to be given; nil on the processor.
    /// - Throws: `RuntimeError` if shapes do not fit, the method cannot be had or memory runs out.
    package static func forward(
        q: NDArray, k: NDArray, v: NDArray, rule: AttentionRule = .causal,
        documents: DocumentBorders? = nil, method: AttentionMethod = .auto
    ) throws -> (output: NDArray, saved: Saved?) {
        let geometry = try Geometry(q, k, v, rule: rule)
        try documents?.check(batch: geometry.batch, length: geometry.length)
        let isPacked = documents != nil
        if let device = q.device.measured {
            return try note(geometry, q, isPacked: isPacked, method, on: device)
        }
        let selection = try AttentionSelection(
            method, geometry, q.dtype, isPacked: isPacked, on: q.device)
        if selection.isFlash {
            let (output, lse) = try FlashAttention.forward(q: q, k: k, v: v, rule: rule)
            return (output, Saved(output: output, logSumExp: lse, isFlash: true))
        }
        if selection != .processor || isAlwaysBlocked {
            let (output, lse) = try BlockedAttention.forward(
                q: q, k: k, v: v, rule: rule, documents: documents)
            return (output, Saved(output: output, logSumExp: lse, isFlash: false))
        }
        let output = try NDArray(empty: q.shape, dtype: q.dtype, device: q.device)
        let (blas, all) = (try BLAS.load(), geometry.documents(documents))
        try ThreadPool.shared.forEachThrowing(all.count * geometry.heads) { task in
            let (document, head) = (all[task / geometry.heads], task % geometry.heads)
            let worker = try Worker(geometry, blas, document, kvHead: head / geometry.group, k: k, v: v)
            try worker.forward(q: q, head: head, into: output)
        }
        return (output, nil)
    }

    /// Gradients of a scalar with respect to q, k and v, given its gradient with respect to o.
    ///
    /// - Parameters:
    ///   - rule: as given to `forward`, and `documents`.
    ///   - saved: by `forward` of the same q, k and v.
    /// - Throws: `RuntimeError` if shapes do not fit or memory runs out.
    package static func backward(
        dy: NDArray, q: NDArray, k: NDArray, v: NDArray, rule: AttentionRule = .causal,
        documents: DocumentBorders? = nil, saved: Saved?
    ) throws -> (dq: NDArray, dk: NDArray, dv: NDArray) {
        let geometry = try Geometry(q, k, v, rule: rule)
        if let device = dy.device.measured {
            return try noteBackward(geometry, q: q, k: k, v: v, saved, on: device)
        }
        if let saved, saved.isFlash {
            return try FlashAttention.backward(
                dy: dy, q: q, k: k, v: v, output: saved.output, logSumExp: saved.logSumExp, rule: rule)
        }
        if let saved {
            return try BlockedAttention.backward(
                dy: dy, q: q, k: k, v: v, output: saved.output, logSumExp: saved.logSumExp, rule: rule,
                documents: documents)
        }
        try dy.expect("dy", shape: q.shape, dtype: q.dtype)
        let dq = try NDArray(empty: q.shape, dtype: q.dtype, device: q.device)
        let dk = try NDArray(empty: k.shape, dtype: k.dtype, device: k.device)
        let dv = try NDArray(empty: v.shape, dtype: v.dtype, device: v.device)
        let (blas, all) = (try BLAS.load(), geometry.documents(documents))
        try ThreadPool.shared.forEachThrowing(all.count * geometry.kvHeads) { task in
            let (document, kvHead) = (all[task / geometry.kvHeads], task % geometry.kvHeads)
            let worker = try Worker(geometry, blas, document, kvHead: kvHead, k: k, v: v)
            let gradients = try worker.zeroGradients()
            for head in worker.heads {
                try worker.backward(dy: dy, q: q, head: head, into: dq, adding: gradients)
            }
            try worker.write(gradients, dk: dk, dv: dv)
        }
        return (dq, dk, dv)
    }
}

extension CausalAttention {
    /// The sizes of one call.
    typealias Geometry = AttentionShape

    /// A forward pass of which only the memory on `device` is wanted. cuDNN's plans and the threads' work cannot be
    /// recorded, so each way says what it takes.
    private static func note(
        _ shape: Geometry, _ q: NDArray, isPacked: Bool, _ method: AttentionMethod, on device: Device
    ) throws -> (output: NDArray, saved: Saved?) {
        let output = try NDArray(empty: q.shape, dtype: q.dtype, device: q.device)
        let selection = try takeWorkspace(
            shape, q, isPacked: isPacked, method, on: device, isBackward: false)
        if selection == .processor { return (output, nil) }
        let lse = try NDArray(empty: [shape.batch, shape.heads, shape.length], device: q.device)
        return (output, Saved(output: output, logSumExp: lse, isFlash: selection.isFlash))
    }

    private static func noteBackward(
        _ shape: Geometry, q: NDArray, k: NDArray, v: NDArray, _ saved: Saved?, on device: Device
    ) throws -> (dq: NDArray, dk: NDArray, dv: NDArray) {
        let method = saved.map { $0.isFlash ? AttentionMethod.flash : .blocked } ?? .auto
        let gradients = try [q, k, v].map {
            try NDArray(empty: $0.shape, dtype: $0.dtype, device: $0.device)
        }
        _ = try takeWorkspace(shape, q, isPacked: false, method, on: device, isBackward: true)
        return (gradients[0], gradients[1], gradients[2])
    }

    /// Takes the workspace of a pass, for as long as this function runs.
    private static func takeWorkspace(
        _ shape: Geometry, _ q: NDArray, isPacked: Bool, _ method: AttentionMethod, on device: Device,
        isBackward: Bool
    ) throws -> AttentionSelection {
        let selection = try AttentionSelection(method, shape, q.dtype, isPacked: isPacked, on: device)
        let bytes = try selection.workspaceBytes(shape, q.dtype, on: device, isBackward: isBackward)
        _ = try NDArray(empty: [bytes], dtype: .u8, device: q.device)
        return selection
    }
}

extension CausalAttention {
    /// Tokens of a row of the batch that see each other.
    struct Document {
        let row: Int
        let tokens: Range<Int>
    }
}

extension AttentionShape {
    /// Queries in a block of one head on the processor: enough for fast products, few enough that their scores
    /// stay in cache.
    var block: Int { min(length, max(16, min(128, 131_072 / length))) }

    /// The most keys that a block's queries see.
    var mostKeys: Int { min(length, (window ?? length) + block - 1) }

    /// The same heads over sequences of another length.
    func of(length: Int) -> AttentionShape {
        AttentionShape(
            batch: batch, length: length, heads: heads, kvHeads: kvHeads, headSize: headSize, rule: rule)
    }

    /// The same heads with another rule.
    func with(_ rule: AttentionRule) -> AttentionShape {
        AttentionShape(
            batch: batch, length: length, heads: heads, kvHeads: kvHeads, headSize: headSize, rule: rule)
    }

    /// What is worked on apart: whole rows, or the documents in them.
    func documents(_ borders: DocumentBorders?) -> [CausalAttention.Document] {
        (0..<batch).flatMap { row in
            (borders?.ranges(ofRow: row) ?? [0..<length]).map { .init(row: row, tokens: $0) }
        }
    }
}
