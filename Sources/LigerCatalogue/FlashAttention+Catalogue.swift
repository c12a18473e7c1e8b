import LigerKernels
import LigerRuntime
import Tile

extension Catalogue {
    /// The other way to what `attention` computes, where a device has it.
    static let flashAttention = CatalogueEntry(
        name: "FlashAttention",
        summary: "softmax(q k^T / sqrt(D)) v, causal and grouped-query, in one pass over keys by cuDNN",
        workload: { size in
            try attentionWorkload(size) { q, k, v, dy in
                let (y, lse) = try FlashAttention.forward(q: q, k: k, v: v)
                _ = try FlashAttention.backward(dy: dy, q: q, k: k, v: v, output: y, logSumExp: lse)
            }
        },
        check: { point in
            // A shape of its own for each point of the grid.
            let place = Verification.grid.firstIndex { ($0.rows, $0.columns) == (point.rows, point.columns) }
            let shape = flashShapes[(place ?? 0) % flashShapes.count]
            if shape.length == 1 {
                let refusal = FlashAttention.refusal(shape, dtype: point.dtype, device: point.device)
                return [
                    CheckResult(
                        quantity: "refusal of one token", error: refusal == nil ? .infinity : 0, bound: 1)
                ]
            }
            // At every other point the backward pass goes by single key heads.
            let budget =
                (place ?? 0) % 2 == 0
                ? FlashAttention.defaultBudgetBytes
                : FlashAttention.leastBudgetBytes(shape, dtype: point.dtype)
            return try flashResults(point, shape, budgetBytes: budget)
        },
        refusal: { dtype, device in
            FlashAttention.refusal(
                AttentionShape(batch: 1, length: 128, heads: 4, kvHeads: 1, headSize: 128), dtype: dtype,
                device: device)
        })

    /// Lengths around the tiles of 64 and 128, batches of one to three; heads alone and key heads shared by 2, 4 and
    /// 8; usual head sizes and odd ones.
    private static let flashShapes = [
        (1, 1, 4, 1, 64), (2, 2, 4, 4, 128), (3, 3, 8, 1, 64), (63, 2, 4, 1, 128), (64, 1, 8, 1, 128),
        (65, 2, 4, 4, 64), (65, 1, 8, 2, 128), (127, 2, 8, 1, 64), (128, 1, 4, 1, 128), (129, 1, 2, 2, 256),
        (200, 3, 4, 1, 80), (100, 2, 4, 2, 96), (63, 2, 8, 2, 64), (64, 3, 4, 4, 64), (1000, 1, 2, 2, 128),
        (1000, 1, 8, 1, 64),
    ].map { AttentionShape(batch: $1, length: $0, heads: $2, kvHeads: $3, headSize: $4) }

    private static func flashResults(
        _ point: CheckCase, _ shape: AttentionShape, budgetBytes: Int
    ) throws -> [CheckResult] {
        var samples = point.samples
        func array(_ heads: Int) throws -> NDArray {
            try samples.array([shape.batch, shape.length, heads, shape.headSize], point.dtype)
        }
        let (q, dy) = (try array(shape.heads), try array(shape.heads))
        let (k, v) = (try array(shape.kvHeads), try array(shape.kvHeads))
        let (y, lse) = try FlashAttention.forward(q: q, k: k, v: v, budgetBytes: budgetBytes)
        let (dq, dk, dv) = try FlashAttention.backward(
            dy: dy, q: q, k: k, v: v, output: y, logSumExp: lse, budgetBytes: budgetBytes)
        let expected = BlockedAttention.Reference(
            shape, q: q.doubles, k: k.doubles, v: v.doubles, dy: dy.doubles)
        // Shared keys: each head's part of dk and dv is rounded too.
        let parts = shape.group > 1 ? 2.0 : 1
        func result(
            _ name: String, _ found: NDArray, _ expected: BlockedAttention.Reference.Quantity,
            roundings: Double = 1
        ) -> CheckResult {
            point.result(
                "\(name) of \(shape.batch)x\(shape.length)x\(shape.heads)/\(shape.kvHeads)x\(shape.headSize)",
                found, expected.values, terms: 40, roundings: roundings, scale: expected.sizes.max())
        }
        return [
            result("o", y, expected.output), result("dq", dq, expected.dq),
            result("dk", dk, expected.dk, roundings: parts), result("dv", dv, expected.dv, roundings: parts),
            point.result("lse", lse, expected.logSumExp, terms: 4, scale: 16),
        ]
    }

    /// Sequences of up to 4,096 tokens, heads of up to 128, four of which share a key head.
    static func attentionWorkload(
        _ size: BenchmarkSize,
        run: @escaping (_ q: NDArray, _ k: NDArray, _ v: NDArray, _ dy: NDArray) throws -> Void
    ) throws -> Workload {
        let length = min(size.rows, 4096), batch = size.rows / length
        let headSize = min(128, size.columns), heads = size.columns / headSize
        let kvHeads = heads % 4 == 0 ? heads / 4 : heads
        func random(_ heads: Int, _ stream: UInt32) throws -> NDArray {
            let x = try NDArray(
                empty: [batch, length, heads, headSize], dtype: size.dtype, device: size.device)
            try RandomFill.normal(x, seed: 14, stream: stream)
            return x
        }
        let (q, dy) = (try random(heads, 1), try random(heads, 2))
        let (k, v) = (try random(kvHeads, 3), try random(kvHeads, 4))
        return Workload(
            shape: "\(batch)x\(heads)/\(kvHeads)x\(length)x\(headSize) \(size.dtype.rawValue)",
            floorBytes: 6 * q.byteCount + 6 * k.byteCount, resultBytes: 2 * q.byteCount + 2 * k.byteCount
        ) {
            try run(q, k, v, dy)
        }
    }
}
