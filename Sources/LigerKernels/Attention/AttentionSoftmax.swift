package import LigerRuntime
import Tile

/// What happens to the scores x of a block of queries between the products of attention:
///
///     e = exp(scale x - m)      weight = 1 / sum(e)      lse = m + log(sum(e))      m = max(scale x)
///     p = exp(scale x - lse) = weight e                  ds = scale p (dp - delta)
///
/// over the keys that a query sees, and 0 at others. A row is a head's query; rows come unit by unit, in a
/// unit query by query, and for a query head by head. The first query stands at position `firstQuery`, and a
/// query sees the keys up to its position.
///
/// Columns are a multiple of `lanes`, the length of the pieces in which a row is walked; those past the keys
/// may hold anything. Scores and dp are f32, e, p and ds of any type, arithmetic in fp32. Any number of columns
/// takes the same compiled kernel. A query whose scores are all -inf has e, p and ds of 0.
///
/// Forward, the rows stay without their weight, so that one exponential a score is enough: `weigh` gives it to
/// the products with the values, which are shorter. Bytes moved, hidden keys not counted: scores read twice and
/// e written; backward scores and dp read, p and
/// ds written.
package enum AttentionSoftmax {
    /// - Parameters:
    ///   - scores: [rows, columns], f32.
    ///   - exponentials: like the scores, of any type; written.
    ///   - weights: [rows], f32; written.
    ///   - logSumExp: [units, queries, heads], f32, by any strides; written.
    /// - Throws: `RuntimeError` if shapes or types do not fit.
    package static func forward(
        scores: NDArray, into exponentials: NDArray, weights: NDArray, logSumExp: NDArray,
        _ view: AttentionView
    ) throws {
        try check(scores, logSumExp, view.lanes, exponentials)
        try weights.expect("weights", shape: [scores.shape[0]], dtype: .f32)
        try AttentionExponentials(form: view.form, dtype: exponentials.dtype).launch(
            programs: scores.shape[0],
            [
                "scores": scores, "e": exponentials, "weights": weights, "lse": logSumExp,
                "firsts": view.documents?.firsts,
            ], scalars: view.scalars)
    }

    /// Multiplies the rows of a block by their weights and puts them where they belong.
    ///
    /// - Parameters:
    ///   - x: [rows, D], f32.
    ///   - weights: [rows], f32.
    ///   - y: [batch, length, heads, D], of any type, of which these rows are written.
    ///   - units: those of the block, of which each is `heads` consecutive heads of a sequence.
    ///   - queries: those of the block.
    /// - Throws: `RuntimeError` if shapes or types do not fit.
    package static func weigh(
        _ x: NDArray, by weights: NDArray, into y: NDArray, units: Range<Int>, queries: Range<Int>, heads: Int
    ) throws {
        let rows = units.count * queries.count * heads
        try x.expect("x", shape: [rows, y.shape.last ?? 0], dtype: .f32)
        try weights.expect("weights", shape: [rows], dtype: .f32)
        try AttentionOutput(columns: x.shape[1], dtype: y.dtype).launch(
            programs: rows, ["x": x, "weights": weights, "y": y],
            scalars: [
                "queries": .index(queries.count), "group": .index(heads),
                "first unit": .index(units.lowerBound),
                "first query": .index(queries.lowerBound),
            ])
    }

    /// - Parameters:
    ///   - scores: as given to `forward`.
    ///   - dp: gradients of the probabilities, like the scores.
    ///   - logSumExp: as `forward` wrote it.
    ///   - delta: sum(dp p) of each row, laid out as logSumExp is.
    ///   - probabilities: like the scores, of any type; written.
    ///   - ds: like the probabilities; written.
    /// - Throws: `RuntimeError` if shapes or types do not fit.
    package static func backward(
        scores: NDArray, dp: NDArray, logSumExp: NDArray, delta: NDArray, into probabilities: NDArray,
        ds: NDArray, _ view: AttentionView
    ) throws {
        try check(scores, logSumExp, view.lanes, probabilities, dp, ds)
        try delta.expect("delta", shape: logSumExp.shape, dtype: .f32)
        try AttentionGradients(form: view.form, dtype: probabilities.dtype).launch(
            programs: scores.shape[0],
            [
                "scores": scores, "dp": dp, "lse": logSumExp, "delta": delta, "probabilities": probabilities,
                "ds": ds, "firsts": view.documents?.firsts,
            ], scalars: view.scalars)
    }

    private static func check(
        _ scores: NDArray, _ logSumExp: NDArray, _ lanes: Int, _ others: NDArray...
    ) throws {
        for array in others { try array.expect("scores' like", shape: scores.shape) }
        guard scores.shape.count == 2, logSumExp.shape.count == 3, scores.shape[0] == logSumExp.count,
            scores.shape[1] % lanes == 0
        else {
            throw RuntimeError(
                "attention's scores must be [rows, a multiple of \(lanes) columns], with a row for each of "
                    + "logSumExp's [units, queries, heads]; found \(scores.shape) and \(logSumExp.shape)")
        }
    }
}
