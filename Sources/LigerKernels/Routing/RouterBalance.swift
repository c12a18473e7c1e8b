public import LigerRuntime
import Tile

/// The loss that keeps experts equally busy (Fedus and others, 2021), over all routers of a model together. With the share
/// f_e of tokens that expert e was chosen for, in all layers, and its mean probability P_e there:
///
///     loss = E sum over e of f_e P_e
///
/// Choices have no gradient: that of a token's scores x, p = softmax(x), is p (g - sum over e of p_e g_e) with
/// g_e = E f_e / (tokens layers). Tokens that do not count, such as padding, are in no share and no mean and have no gradient,
/// as in transformers' `load_balancing_loss_func` with its mask. Without any token the loss is 0. Counts are exact and sums
/// are in a fixed order, so all of it repeats. Arithmetic is fp32. Saved for the backward pass: scores, and g.
/// Bytes moved: scores and choices read once; backward scores and their gradient read and written once.
public enum RouterBalance {
    /// What one router's tokens come to: sums of probabilities and counts of choices, part by part of the tokens.
    ///
    /// - Parameters:
    ///   - scores: [T, E], f32, bf16 or f16, contiguous.
    ///   - choices: [T, K], i32.
    ///   - counted: [T], i32: 1 for tokens that count and 0 for others; nil if all do.
    /// - Returns: [parts, 2 E], f32.
    /// - Throws: `RuntimeError` if shapes or types do not fit or memory runs out.
    public static func sums(
        _ scores: NDArray, choices: NDArray, counted: NDArray? = nil
    ) throws -> NDArray {
        let (tokens, experts) = (scores.shape[0], scores.shape.last ?? 0)
        try Routing.check(scores, .init(choices: choices.shape.last ?? 0, normalises: false))
        try choices.expect("choices", shape: [tokens, choices.shape[1]], dtype: .i32)
        try counted?.expect("counted", shape: [tokens], dtype: .i32)
        let split = RowSplit(rows: tokens, columns: 2 * experts, on: scores.device)
        let sums = try NDArray(empty: [split.programs, 2 * experts], device: scores.device)
        try RouterSums(
            experts: experts, choices: choices.shape[1], dtype: scores.dtype,
            rowsPerProgram: split.rowsPerProgram, isMasked: counted != nil
        ).launch(
            programs: split.programs,
            ["scores": scores, "choices": choices, "counted": counted, "sums": sums])
        return sums
    }

    /// The loss, and what its gradients need.
    ///
    /// - Parameters:
    ///   - sums: what `sums` returned for each router.
    ///   - choices: K.
    /// - Returns: the loss, [1], and g, [E], f32.
    /// - Throws: `RuntimeError` if shapes or types do not fit or memory runs out.
    public static func loss(_ sums: [NDArray], choices: Int) throws -> (loss: NDArray, slopes: NDArray) {
        guard let first = sums.first, first.shape.count == 2, choices > 0 else {
            throw RuntimeError(
                "a loss of \(sums.count) routers with \(choices) choices a token. Give at least one of each")
        }
        let (width, device) = (first.shape[1], first.device)
        let totals = try NDArray(empty: [width], device: device)
        for (place, sums) in sums.enumerated() {
            try sums.expectF32("sums", shape: [sums.shape[0], width])
            try ColumnSum.apply(sums, into: totals, accumulate: place > 0)
        }
        let loss = try NDArray(empty: [1], device: device)
        let slopes = try NDArray(empty: [width / 2], device: device)
        try RouterLoss(experts: width / 2, choices: choices).launch(
            programs: 1, ["totals": totals, "loss": loss, "slopes": slopes])
        return (loss, slopes)
    }

    /// Adds the loss's gradient to that of a router's scores.
    ///
    /// - Parameters:
    ///   - dScores: like `scores`: what else there is of their gradient.
    ///   - scores: as for `sums`.
    ///   - slopes: g, as `loss` returned it.
    ///   - counted: as for `sums`.
    ///   - factor: one f32, the gradient with respect to the loss.
    /// - Returns: the sum, like `scores`.
    /// - Throws: `RuntimeError` if shapes or types do not fit or memory runs out.
    public static func backward(
        dScores: NDArray, scores: NDArray, slopes: NDArray, counted: NDArray? = nil, factor: NDArray
    ) throws -> NDArray {
        let rows = try scores.asRows("scores")
        try dScores.expect("dscores", shape: scores.shape, dtype: scores.dtype)
        try slopes.expectF32("slopes", shape: [rows.shape[1]])
        try factor.expectF32("factor", shape: [1])
        try counted?.expect("counted", shape: [rows.shape[0]], dtype: .i32)
        let sum = try NDArray(empty: scores.shape, dtype: scores.dtype, device: scores.device)
        try RouterLossBackward(
            experts: rows.shape[1], dtype: scores.dtype, isMasked: counted != nil
        ).launch(
            programs: rows.shape[0],
            [
                "dscores": try dScores.asRows("dscores"), "scores": rows, "slopes": slopes,
                "factor": factor, "counted": counted, "sum": sum.rows,
            ])
        return sum
    }
}

extension RouterBalance {
    /// The formulas in Double: what the kernels are checked against.
    package struct Reference {
        package var loss = 0.0
        /// Of each router's tokens' scores.
        package var gradients: [[[Double]]] = []

        /// - Parameters:
        ///   - routers: scores of each router's tokens.
        ///   - options: how experts are chosen.
        ///   - counted: which tokens count; nil if all do.
        package init(_ routers: [[[Double]]], _ options: Routing.Options, counted: [Bool]? = nil) {
            let experts = routers.first?.first?.count ?? 0
            let rows = routers.flatMap { tokens in
                zip(tokens, counted ?? tokens.map { _ in true }).filter(\.1).map(\.0)
            }
            var (counts, probabilities) = (
                [Double](repeating: 0, count: experts), [Double](repeating: 0, count: experts)
            )
            for scores in rows {
                for expert in Routing.Reference.choices(scores, options) { counts[expert] += 1 }
                for (expert, p) in Routing.Reference.probabilities(scores).enumerated() {
                    probabilities[expert] += p
                }
            }
            let terms = Double(max(1, rows.count)), scale = Double(experts) / terms / terms
            loss = scale * zip(counts, probabilities).reduce(0) { $0 + $1.0 * $1.1 }
            gradients = routers.map { tokens in
                tokens.enumerated().map { token, scores in
                    if counted?[token] == false { return scores.map { _ in 0 } }
                    let p = Routing.Reference.probabilities(scores)
                    let mean = zip(p, counts).reduce(0) { $0 + $1.0 * $1.1 }
                    return zip(p, counts).map { scale * $0 * ($1 - mean) }
                }
            }
        }
    }
}
