import LigerRuntime
import Tile

/// Both passes of flash attention as cuDNN runs them. Made once for a shape; the device remembers.
struct FlashPlans {
    let forward: CUDNNPlan
    let backward: CUDNNPlan
    let slices: FlashSlices

    /// - Throws: `RuntimeError` that says why these cannot be had.
    init(_ shape: AttentionShape, _ dtype: DType, _ device: Device, budgetBytes: Int) throws {
        try Self.check(shape, dtype, device)
        slices = try FlashSlices(shape, dtype, budgetBytes: budgetBytes)
        let whole = FlashGraph(shape, dtype, sequences: shape.batch, kvHeads: shape.kvHeads)
        forward = try device.graphPlan("flash attention forward of \(whole)", whole.forward)
        let slice = FlashGraph(shape, dtype, sequences: slices.sequences, kvHeads: slices.kvHeads)
        backward = try device.graphPlan("flash attention backward of \(slice)", slice.backward)
    }

    private static func check(_ shape: AttentionShape, _ dtype: DType, _ device: Device) throws {
        guard let properties = try? device.cuda("flash attention").properties else {
            throw RuntimeError("it is for NVIDIA GPUs, and \(device) is none")
        }
        // The graph whose sums have a fixed order is that of this generation; others need other ones.
        guard properties.major == 9 else {
            throw RuntimeError(
                "it is known to repeat its bits on GPUs of compute capability 9.0, and \(device) has "
                    + "\(properties.major).\(properties.minor)")
        }
        guard dtype == .bf16 || dtype == .f16 else {
            throw RuntimeError("it takes bf16 and f16, not \(dtype.rawValue)")
        }
        guard shape.headSize.isMultiple(of: 8), (8...256).contains(shape.headSize) else {
            throw RuntimeError(
                "it takes head sizes that are multiples of 8 up to 256, not \(shape.headSize)")
        }
        if let softcap = shape.rule.softcap {
            throw RuntimeError("it does not bound scores, and this model bounds them by \(softcap)")
        }
        guard shape.length > 1, shape.batch > 0 else {
            throw RuntimeError(
                "it takes sequences of at least two tokens, not \(shape.batch) of \(shape.length)")
        }
    }
}

/// The operations of flash attention over some sequences of an array, or some key heads of one.
struct FlashGraph: CustomStringConvertible {
    private let shape: AttentionShape
    private let dtype: DType
    private let sequences: Int
    private let kvHeads: Int

    init(_ shape: AttentionShape, _ dtype: DType, sequences: Int, kvHeads: Int) {
        (self.shape, self.dtype) = (shape, dtype)
        (self.sequences, self.kvHeads) = (sequences, kvHeads)
    }

    /// Everything that the graph depends on.
    var description: String {
        let part = kvHeads == shape.kvHeads ? "" : ", \(kvHeads) of them at a time"
        let window = shape.window.map { ", a window of \($0)" } ?? ""
        let scale = shape.rule.scale.map { ", scores times \($0)" } ?? ""
        return "\(sequences) x \(shape.length) tokens, \(shape.heads) heads of \(shape.headSize) with "
            + "\(shape.kvHeads) key heads\(part)\(window)\(scale), in \(dtype.rawValue)"
    }

    // MARK: Forms

    private var heads: Int { kvHeads * shape.group }

    /// Some heads of [batch, length, all heads, D] as [sequences, heads, length, D].
    private func form(_ heads: Int, of all: Int) -> CUDNNGraph.Form {
        let (length, size) = (shape.length, shape.headSize)
        return CUDNNGraph.Form(
            [sequences, heads, length, size], strides: [length * all * size, size, all * size, 1])
    }

    private var queries: CUDNNGraph.Form { form(heads, of: shape.heads) }
    private var keys: CUDNNGraph.Form { form(kvHeads, of: shape.kvHeads) }
    private var scores: CUDNNGraph.Form {
        CUDNNGraph.Form([sequences, heads, shape.length, shape.length])
    }
    /// One number a query and head. Of an array's sequences these lie side by side; so do heads of one.
    private var rows: CUDNNGraph.Form { CUDNNGraph.Form([sequences, heads, shape.length, 1]) }
    /// Keys or values, for each query head.
    private var parts: CUDNNGraph.Form {
        CUDNNGraph.Form([sequences, heads, shape.length, shape.headSize])
    }

    // MARK: Passes

    /// With s of the keys that a query sees, m the maximum of a row and z = sum(exp(s - m)):
    ///
    ///     o = exp(s - m) / z v          lse = m + log(z)
    func forward(_ g: CUDNNGraph) throws {
        let q = try g.operand("q", queries, dtype), k = try g.operand("k", keys.transposed, dtype)
        let v = try g.operand("v", keys, dtype)
        let s = try visible(g, scaled(g, g.product(q, k, into: g.between(scores)), g.constant(shape.scale)))
        let m = try g.reduce(.maximum, s, into: g.between(rows))
        let e = try g.apply(.exp, g.apply(.subtract, s, m))
        let z = try g.reduce(.sum, e, into: g.between(rows))
        try g.apply(.add, m, g.apply(.log, z), into: g.operand("lse", rows, .f32))
        let p = try g.apply(.divide, e, z, into: g.between(scores, dtype))
        try g.product(p, v, into: g.operand("o", queries, dtype))
    }

    /// With p = exp(s - lse) and delta = sum(dy o):
    ///
    ///     dv = p' dy      ds = p (dy v' - delta) / sqrt(D)      dk = ds' q      dq = ds k
    func backward(_ g: CUDNNGraph) throws {
        let q = try g.operand("q", queries, dtype), k = try g.operand("k", keys.transposed, dtype)
        let v = try g.operand("v", keys.transposed, dtype), o = try g.operand("o", queries, dtype)
        let dy = try g.operand("dy", queries, dtype), lse = try g.operand("lse", rows, .f32)
        let scale = try g.constant(shape.scale)

        let sums = try g.reduce(
            .sum, g.apply(.multiply, dy, o, into: g.between(parts)), into: g.between(rows))
        // The library knows the pattern with a factor here, for dropout.
        let delta = try g.apply(
            .multiply, sums, g.constant(1), into: g.operand("delta", rows, .f32))

        let s = try scaled(g, g.product(q, k, into: g.between(scores)), scale)
        let p = try g.apply(.exp, visible(g, g.apply(.subtract, s, lse)))
        try gradient(g, "dv", of: g.transposed(p, dtype), dy)

        let dp = try g.product(dy, v, into: g.between(scores))
        let ds = try scaled(g, g.apply(.multiply, g.apply(.subtract, dp, delta), p), scale)
        try gradient(g, "dk", of: g.transposed(ds, dtype), q)
        // Into its place at once, not by way of fp32 sums to which blocks of keys add.
        try g.product(ds, g.transposed(k, .f32), into: g.operand("dq", queries, dtype))
    }

    private func scaled(
        _ g: CUDNNGraph, _ x: CUDNNGraph.Value, _ scale: CUDNNGraph.Value
    ) throws -> CUDNNGraph.Value {
        try g.apply(.multiply, x, scale)
    }

    /// The scores of keys that the query sees, -inf for others. The library knows two masks by their form: keys up to the
    /// query's own, and keys within a window.
    private func visible(_ g: CUDNNGraph, _ s: CUDNNGraph.Value) throws -> CUDNNGraph.Value {
        let hidden = try g.constant(-.infinity)
        func positions(_ x: CUDNNGraph.Value) throws -> (query: CUDNNGraph.Value, key: CUDNNGraph.Value) {
            (try g.apply(.position(2), x), try g.apply(.position(3), x))
        }
        let all = try positions(s)
        let causal = try g.apply(.select, s, hidden, where: g.apply(.isAtLeast, all.query, all.key))
        guard let window = shape.window else { return causal }
        let (query, key) = try positions(causal)
        let last = try g.apply(.add, key, g.constant(Float(window)), into: g.between(scores))
        return try g.apply(.select, causal, hidden, where: g.apply(.isAbove, last, query))
    }

    /// weights x, added up over the query heads that share a key head.
    private func gradient(
        _ g: CUDNNGraph, _ name: String, of weights: CUDNNGraph.Value, _ x: CUDNNGraph.Value
    ) throws {
        let result = try g.operand(name, keys, dtype)
        if shape.group == 1 {
            try g.product(weights, x, into: result)
        } else {
            try g.reduce(.sum, g.product(weights, x, into: g.between(parts, dtype)), into: result)
        }
    }
}
