package import LigerRuntime
package import Tile

/// Causal attention with grouped queries in one pass over keys, as cuDNN has it for NVIDIA GPUs: the formulas
/// are those of ``BlockedAttention``, and what the two save for the backward pass, but scores stay in registers
/// (Dao and others, 2022).
///
/// Shapes as there: q and o [batch, length, heads, D], k and v [batch, length, kvHeads, D], contiguous, lse
/// [batch, heads, length] in f32. Here in bf16 or f16, D a multiple of 8 up to 256, at least two tokens. Sums are in
/// fp32; p and ds are rounded to the storage type once, and where heads share keys so is each head's part of dk
/// and dv, before these are added.
///
/// Results repeat bit for bit. The forward pass adds in a fixed order anyway. The fastest backward pass would
/// not: blocks of keys add to the same dq, as they come. So ds is written to memory, and dq is its product with
/// the keys: `2 heads length^2` bytes for each sequence, within a budget, one run for as many sequences, or for
/// as many key heads of a sequence, as fit. How many that are changes no bit.
///
/// On an H200, batch 8 of 4,096 tokens, 32 heads of 128 with 8 key heads, in bf16: 1.8 ms forward; backward
/// 7.0 ms by one sequence (1.1 GiB), 6.4 by two, 6.1 by four and 5.9 by all (8.5 GiB), compared with 5.5 ms without
/// repeating.
package enum FlashAttention {
    /// Bytes of ds, and what else cuDNN wants with it, that exist at a time.
    package static let defaultBudgetBytes = 2304 << 20

    /// - Parameter rule: what happens to scores; a softcap cannot be had.
    /// - Returns: o like q, and lse.
    /// - Throws: `RuntimeError` if shapes do not fit, memory runs out, or cuDNN does not do this: `refusal` says
    ///   so before.
    package static func forward(
        q: NDArray, k: NDArray, v: NDArray, rule: AttentionRule = .causal,
        budgetBytes: Int = defaultBudgetBytes
    ) throws -> (output: NDArray, logSumExp: NDArray) {
        let shape = try AttentionShape(q, k, v, rule: rule), device = q.device
        let plans = try FlashPlans(shape, q.dtype, device, budgetBytes: budgetBytes)
        let output = try NDArray(empty: q.shape, dtype: q.dtype, device: device)
        let lse = try NDArray(empty: [shape.batch, shape.heads, shape.length], device: device)
        try device.run(
            plans.forward,
            [
                "q": aligned("q", q), "k": aligned("k", k), "v": aligned("v", v), "o": output.address,
                "lse": lse.address,
            ])
        return (output, lse)
    }

    /// Gradients of a scalar with respect to q, k and v, given its gradient with respect to o.
    ///
    /// - Parameters:
    ///   - output: as `forward` returned it, and `logSumExp`; those of ``BlockedAttention`` do too.
    ///   - rule: as given to `forward`.
    ///   - budgetBytes: of memory in addition to operands and results.
    /// - Returns: dq like q, dk and dv like k.
    /// - Throws: as `forward`.
    package static func backward(
        dy: NDArray, q: NDArray, k: NDArray, v: NDArray, output: NDArray, logSumExp: NDArray,
        rule: AttentionRule = .causal, budgetBytes: Int = defaultBudgetBytes
    ) throws -> (dq: NDArray, dk: NDArray, dv: NDArray) {
        let shape = try AttentionShape(q, k, v, rule: rule), device = q.device
        for (name, array) in [("dy", dy), ("output", output)] {
            try array.expect(name, shape: q.shape, dtype: q.dtype)
            guard array.isContiguous else {
                throw RuntimeError("attention's \(name) must be contiguous. Copy the view first")
            }
        }
        try logSumExp.expect("logSumExp", shape: [shape.batch, shape.heads, shape.length], dtype: .f32)
        let plans = try FlashPlans(shape, q.dtype, device, budgetBytes: budgetBytes)
        let dq = try NDArray(empty: q.shape, dtype: q.dtype, device: device)
        let dk = try NDArray(empty: k.shape, dtype: k.dtype, device: device)
        let dv = try NDArray(empty: v.shape, dtype: v.dtype, device: device)
        let slices = plans.slices
        let delta = try NDArray(empty: [slices.rows], device: device)
        let queries = [
            "q": try aligned("q", q), "o": try aligned("output", output), "dy": try aligned("dy", dy),
            "dq": dq.address,
        ]
        let keys = [
            "k": try aligned("k", k), "v": try aligned("v", v), "dk": dk.address, "dv": dv.address,
        ]
        for (sequence, kvHead) in slices.starts {
            let head = kvHead * shape.group, bytes = shape.headSize * q.dtype.byteCount
            let token = sequence * shape.length
            var addresses = queries.mapValues { $0 + (token * shape.heads + head) * bytes }
            addresses.merge(keys.mapValues { $0 + (token * shape.kvHeads + kvHead) * bytes }) { $1 }
            addresses["lse"] = logSumExp.address + 4 * (sequence * shape.heads + head) * shape.length
            addresses["delta"] = delta.address
            try device.run(plans.backward, addresses)
        }
        return (dq, dk, dv)
    }

    /// Why attention of these sizes cannot be had on a device, for people; nil if it can. The first time it is
    /// asked for sizes, cuDNN compiles its kernels for them: up to some seconds.
    package static func refusal(
        _ shape: AttentionShape, dtype: DType, device: Device, budgetBytes: Int = defaultBudgetBytes
    ) -> String? {
        do {
            _ = try FlashPlans(shape, dtype, device, budgetBytes: budgetBytes)
            return nil
        } catch {
            return "\(error)"
        }
    }

    /// Bytes that `forward` or `backward` takes in addition to operands and results.
    ///
    /// - Throws: as `forward`.
    package static func workspaceBytes(
        _ shape: AttentionShape, dtype: DType, device: Device, isBackward: Bool,
        budgetBytes: Int = defaultBudgetBytes
    ) throws -> Int {
        let plans = try FlashPlans(shape, dtype, device, budgetBytes: budgetBytes)
        return isBackward
            ? plans.backward.workspaceBytes + 4 * plans.slices.rows : plans.forward.workspaceBytes
    }

    /// The least budget of a backward pass: one key head of a sequence at a time.
    package static func leastBudgetBytes(_ shape: AttentionShape, dtype: DType) -> Int {
        FlashSlices.bytes(shape, dtype, sequences: 1, kvHeads: 1)
    }

    private static func aligned(_ name: String, _ x: NDArray) throws -> UnsafeMutableRawPointer {
        if UInt(bitPattern: x.address) % 16 == 0 { return x.address }
        throw RuntimeError(
            "flash attention needs arrays whose addresses are multiples of 16; \(name)'s is not. Copy it first"
        )
    }
}

/// What one run of the backward pass is given: some sequences whole, or some key heads of one, with the query
/// heads that share them.
struct FlashSlices {
    let shape: AttentionShape
    /// Sequences of a run.
    let sequences: Int
    /// Key heads of a run.
    let kvHeads: Int

    /// The largest runs of one size whose memory is within the budget.
    ///
    /// - Throws: `RuntimeError` if one key head alone takes more.
    init(_ shape: AttentionShape, _ dtype: DType, budgetBytes: Int) throws {
        self.shape = shape
        func fits(_ sequences: Int, _ kvHeads: Int) -> Bool {
            Self.bytes(shape, dtype, sequences: sequences, kvHeads: kvHeads) <= budgetBytes
        }
        func divisors(_ number: Int) -> [Int] {
            (1...number).reversed().filter { number.isMultiple(of: $0) }
        }
        if let most = divisors(shape.batch).first(where: { fits($0, shape.kvHeads) }) {
            (sequences, kvHeads) = (most, shape.kvHeads)
        } else if let most = divisors(shape.kvHeads).first(where: { fits(1, $0) }) {
            (sequences, kvHeads) = (1, most)
        } else {
            let least = Self.bytes(shape, dtype, sequences: 1, kvHeads: 1)
            throw RuntimeError(
                "its backward pass takes \(least >> 20) MiB for one key head of \(shape.length) tokens, more "
                    + "than the \(budgetBytes >> 20) MiB it may")
        }
    }

    /// What cuDNN takes: ds by tiles of 64 queries and 128 keys; and where heads share keys, the parts of dk and
    /// dv by query heads.
    static func bytes(
        _ shape: AttentionShape, _ dtype: DType, sequences: Int, kvHeads: Int
    ) -> Int {
        let heads = sequences * kvHeads * shape.group
        let queries = (shape.length + 63) / 64 * 64, keys = (shape.length + 127) / 128 * 128
        let parts = shape.group > 1 ? 2 * shape.length * shape.headSize : 0
        return heads * (queries * keys + parts) * dtype.byteCount + 4096
    }

    /// Queries, counted per head, of a run.
    var rows: Int { sequences * kvHeads * shape.group * shape.length }

    /// The first sequence and key head of each run.
    var starts: [(sequence: Int, kvHead: Int)] {
        stride(from: 0, to: shape.batch, by: sequences).flatMap { sequence in
            stride(from: 0, to: shape.kvHeads, by: kvHeads).map { (sequence, $0) }
        }
    }
}
