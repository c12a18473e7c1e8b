package import LigerKernels
package import LigerRuntime
package import Tile

/// Exact causal attention with grouped queries (Ainslie et al., 2023):
///
///     o[t, h] = sum over s <= t of softmax_s(q[t, h] · k[s, g] / sqrt(D)) v[s, g]     g = h kvHeads / heads
///
/// Shapes: q and o [batch, sequence, heads, D], k and v [batch, sequence, kvHeads, D], contiguous, f32, bf16
/// or f16; arithmetic in fp32. Queries are handled in blocks, so that memory beyond operands and results
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

    /// - Parameter method: on a GPU.
    /// - Returns: o, and what the backward pass is to be given; nil on the processor.
    /// - Throws: `RuntimeError` if shapes do not fit, the method cannot be had or memory runs out.
    package static func forward(
        q: NDArray, k: NDArray, v: NDArray, method: AttentionMethod = .auto
    ) throws -> (output: NDArray, saved: Saved?) {
        if let device = q.device.measured { return try note(q: q, k: k, v: v, method, on: device) }
        let selection = try AttentionSelection(method, AttentionShape(q, k, v), q.dtype, on: q.device)
        if selection.isFlash {
            let (output, lse) = try FlashAttention.forward(q: q, k: k, v: v)
            return (output, Saved(output: output, logSumExp: lse, isFlash: true))
        }
        if selection != .processor || isAlwaysBlocked {
            let (output, lse) = try BlockedAttention.forward(q: q, k: k, v: v)
            return (output, Saved(output: output, logSumExp: lse, isFlash: false))
        }
        let geometry = try Geometry(q, k, v)
        let output = try NDArray(empty: q.shape, dtype: q.dtype, device: q.device)
        let blas = try BLAS.load()
        try ThreadPool.shared.forEachThrowing(geometry.batch * geometry.heads) { task in
            let (sequence, head) = (task / geometry.heads, task % geometry.heads)
            let worker = try Worker(geometry, blas, sequence, kvHead: head / geometry.group, k: k, v: v)
            try worker.forward(q: q, head: head, into: output)
        }
        return (output, nil)
    }

    /// Gradients of a scalar with respect to q, k and v, given its gradient with respect to o.
    ///
    /// - Parameter saved: by `forward` of the same q, k and v.
    /// - Throws: `RuntimeError` if shapes do not fit or memory runs out.
    package static func backward(
        dy: NDArray, q: NDArray, k: NDArray, v: NDArray, saved: Saved?
    ) throws -> (dq: NDArray, dk: NDArray, dv: NDArray) {
        if let device = dy.device.measured { return try noteBackward(q: q, k: k, v: v, saved, on: device) }
        if let saved, saved.isFlash {
            return try FlashAttention.backward(
                dy: dy, q: q, k: k, v: v, output: saved.output, logSumExp: saved.logSumExp)
        }
        if let saved {
            return try BlockedAttention.backward(
                dy: dy, q: q, k: k, v: v, output: saved.output, logSumExp: saved.logSumExp)
        }
        let geometry = try Geometry(q, k, v)
        try dy.expect("dy", shape: q.shape, dtype: q.dtype)
        let dq = try NDArray(empty: q.shape, dtype: q.dtype, device: q.device)
        let dk = try NDArray(empty: k.shape, dtype: k.dtype, device: k.device)
        let dv = try NDArray(empty: v.shape, dtype: v.dtype, device: v.device)
        let blas = try BLAS.load()
        try ThreadPool.shared.forEachThrowing(geometry.batch * geometry.kvHeads) { task in
            let (sequence, kvHead) = (task / geometry.kvHeads, task % geometry.kvHeads)
            let worker = try Worker(geometry, blas, sequence, kvHead: kvHead, k: k, v: v)
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
        q: NDArray, k: NDArray, v: NDArray, _ method: AttentionMethod, on device: Device
    ) throws -> (output: NDArray, saved: Saved?) {
        let shape = try AttentionShape(q, k, v)
        let output = try NDArray(empty: q.shape, dtype: q.dtype, device: q.device)
        let selection = try takeWorkspace(shape, q, method, on: device, isBackward: false)
        if selection == .processor { return (output, nil) }
        let lse = try NDArray(empty: [shape.batch, shape.heads, shape.length], device: q.device)
        return (output, Saved(output: output, logSumExp: lse, isFlash: selection.isFlash))
    }

    private static func noteBackward(
        q: NDArray, k: NDArray, v: NDArray, _ saved: Saved?, on device: Device
    ) throws -> (dq: NDArray, dk: NDArray, dv: NDArray) {
        let shape = try AttentionShape(q, k, v)
        let method = saved.map { $0.isFlash ? AttentionMethod.flash : .blocked } ?? .auto
        let gradients = try [q, k, v].map {
            try NDArray(empty: $0.shape, dtype: $0.dtype, device: $0.device)
        }
        _ = try takeWorkspace(shape, q, method, on: device, isBackward: true)
        return (gradients[0], gradients[1], gradients[2])
    }

    /// Takes the workspace of a pass, for as long as this function runs.
    private static func takeWorkspace(
        _ shape: AttentionShape, _ q: NDArray, _ method: AttentionMethod, on device: Device,
        isBackward: Bool
    ) throws -> AttentionSelection {
        let selection = try AttentionSelection(method, shape, q.dtype, on: device)
        let bytes = try selection.workspaceBytes(shape, q.dtype, on: device, isBackward: isBackward)
        _ = try NDArray(empty: [bytes], dtype: .u8, device: q.device)
        return selection
    }
}

extension AttentionShape {
    /// Queries in a block of one head on the processor: enough for fast products, few enough that their scores
    /// stay in cache.
    var block: Int { min(length, max(16, min(128, 131_072 / length))) }
}
