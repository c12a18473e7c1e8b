import LigerKernels
package import LigerRuntime
import Synchronization
import Tile

/// Exact causal attention with grouped queries (Ainslie et al., 2023):
///
///     o[t, h] = sum over s <= t of softmax_s(q[t, h] · k[s, g] / sqrt(D)) v[s, g]     g = h kvHeads / heads
///
/// Shapes: q and o [batch, sequence, heads, D], k and v [batch, sequence, kvHeads, D], contiguous, f32, bf16
/// or f16; arithmetic in fp32. Queries are handled in blocks, so that memory beyond operands and results
/// grows linearly with the sequence. Saved for the backward pass: nothing but the operands; probabilities
/// are computed again. Heads run on different threads; sums have an order that depends on the shapes alone.
package enum CausalAttention {
    /// - Throws: `RuntimeError` if shapes do not fit or memory runs out.
    package static func forward(q: NDArray, k: NDArray, v: NDArray) throws -> NDArray {
        let geometry = try Geometry(q, k, v)
        let output = try NDArray(empty: q.shape, dtype: q.dtype, device: q.device)
        let blas = try BLAS.load()
        try parallel(geometry.batch * geometry.heads) { task in
            let (sequence, head) = (task / geometry.heads, task % geometry.heads)
            let worker = try Worker(geometry, blas, sequence, kvHead: head / geometry.group, k: k, v: v)
            try worker.forward(q: q, head: head, into: output)
        }
        return output
    }

    /// Gradients of a scalar with respect to q, k and v, given its gradient with respect to o.
    ///
    /// - Throws: `RuntimeError` if shapes do not fit or memory runs out.
    package static func backward(
        dy: NDArray, q: NDArray, k: NDArray, v: NDArray
    ) throws -> (dq: NDArray, dk: NDArray, dv: NDArray) {
        let geometry = try Geometry(q, k, v)
        try dy.expect("dy", shape: q.shape, dtype: q.dtype)
        let dq = try NDArray(empty: q.shape, dtype: q.dtype, device: q.device)
        let dk = try NDArray(empty: k.shape, dtype: k.dtype, device: k.device)
        let dv = try NDArray(empty: v.shape, dtype: v.dtype, device: v.device)
        let blas = try BLAS.load()
        try parallel(geometry.batch * geometry.kvHeads) { task in
            let (sequence, kvHead) = (task / geometry.kvHeads, task % geometry.kvHeads)
            var worker = try Worker(geometry, blas, sequence, kvHead: kvHead, k: k, v: v)
            try worker.startGradients()
            for head in worker.heads { try worker.backward(dy: dy, q: q, head: head, into: dq) }
            try worker.finishGradients(dk: dk, dv: dv)
        }
        return (dq, dk, dv)
    }

    /// Runs tasks on the threads; throws the error of the lowest-numbered task that failed.
    private static func parallel(_ count: Int, _ body: @Sendable (Int) throws -> Void) throws {
        let failure = Mutex<(task: Int, error: any Error)?>(nil)
        ThreadPool.shared.forEach(count) { task in
            do { try body(task) } catch {
                failure.withLock { if $0.map({ task < $0.task }) ?? true { $0 = (task, error) } }
            }
        }
        if let failure = failure.withLock({ $0 }) { throw failure.error }
    }
}

extension CausalAttention {
    /// The sizes of one call.
    struct Geometry: Sendable {
        let batch: Int
        let length: Int
        let heads: Int
        let kvHeads: Int
        let headSize: Int

        /// Queries in a block: enough for fast products, few enough that their scores stay in cache.
        var block: Int { min(length, max(16, min(128, 131_072 / length))) }
        /// Query heads that share a key head.
        var group: Int { heads / kvHeads }
        /// What scores are multiplied by.
        var scale: Float { 1 / Float(headSize).squareRoot() }

        init(_ q: NDArray, _ k: NDArray, _ v: NDArray) throws {
            guard q.shape.count == 4, k.shape.count == 4 else {
                throw RuntimeError(
                    "attention needs [batch, sequence, heads, head size]; found \(q.shape) and \(k.shape)")
            }
            (batch, length, heads, headSize) = (q.shape[0], q.shape[1], q.shape[2], q.shape[3])
            kvHeads = k.shape[2]
            guard kvHeads > 0, heads % kvHeads == 0 else {
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
}
