import LigerRuntime
import Tile

extension BlockedAttention {
    /// What the blocks of one backward pass share.
    struct BackwardPass {
        let blocks: [AttentionPlan.Block]
        private let plan: AttentionPlan
        private let operands: Operands
        private let dy: AttentionHeads
        private let lse: NDArray
        private let delta: NDArray
        private let dq: AttentionHeads
        /// Sums over queries, [batch, kvHeads, length, D], f32.
        private let dk: AttentionHeads
        private let dv: AttentionHeads
        private let scores: AttentionWorkspace
        private let dp: AttentionWorkspace
        private let probabilities: AttentionWorkspace
        private let ds: AttentionWorkspace

        init(
            _ plan: AttentionPlan, dy: NDArray, q: NDArray, k: NDArray, v: NDArray, output: NDArray,
            _ logSumExp: NDArray, dq: NDArray
        ) throws {
            self.plan = plan
            let (shape, device) = (plan.shape, q.device)
            operands = try Operands(plan, q: q, k: k, v: v)
            self.dy = try plan.heads(dy, folded: shape.group)
            lse = logSumExp
            delta = try NDArray(empty: logSumExp.shape, device: device)
            try AttentionDelta(columns: shape.headSize, dtype: q.dtype).launch(
                programs: shape.batch * shape.length * shape.heads,
                ["dy": dy.rows, "y": output.rows, "delta": delta.transposed(1, 2)])
            self.dq =
                plan.packs ? try operands.q.another() : AttentionHeads(dq, folded: operands.q.folded)
            func sums() throws -> AttentionHeads {
                let sizes = [shape.batch, shape.kvHeads, shape.length, shape.headSize]
                // Where no block sees all keys, none can set their sums.
                return AttentionHeads(
                    packed: try plan.isBounded
                        ? .zeros(sizes, device: device) : NDArray(empty: sizes, device: device), folded: 1)
            }
            (dk, dv) = (try sums(), try sums())
            blocks = plan.blocks
            scores = try AttentionWorkspace(blocks, dtype: .f32, device: device)
            dp = try AttentionWorkspace(blocks, dtype: .f32, device: device)
            probabilities = try AttentionWorkspace(blocks, dtype: q.dtype, device: device)
            ds = try AttentionWorkspace(blocks, dtype: q.dtype, device: device)
        }

        func run(_ block: AttentionPlan.Block) throws {
            let (units, queries, keys) = (block.units, block.queries, block.keys)
            let (q, k) = (operands.q.part(units, queries), operands.k.part(units, keys))
            let dy = dy.part(units, queries)
            try MatMul.applyBatched(q, k, transposeB: true, into: scores.matrices(block))
            try MatMul.applyBatched(
                dy, operands.v.part(units, keys), transposeB: true, into: dp.matrices(block))
            try AttentionSoftmax.backward(
                scores: scores.rows(block), dp: dp.rows(block), logSumExp: perQuery(lse, block),
                delta: perQuery(delta, block), into: probabilities.rows(block), ds: ds.rows(block),
                plan.view(of: block))
            let adds = plan.isBounded || queries.upperBound < plan.shape.length
            let gradients = ds.matrices(block)
            try MatMul.applyBatched(
                probabilities.matrices(block), dy, transposeA: true, into: dv.part(units, keys),
                accumulate: adds)
            try MatMul.applyBatched(gradients, k, into: dq.part(units, queries))
            try MatMul.applyBatched(
                gradients, q, transposeA: true, into: dk.part(units, keys), accumulate: adds)
        }

        /// Rounds the sums and puts every head in its place.
        func finish(dq: NDArray, dk: NDArray, dv: NDArray) throws {
            if plan.packs { try self.dq.unpack(into: dq) }
            try self.dk.unpack(into: dk)
            try self.dv.unpack(into: dv)
        }
    }
}
