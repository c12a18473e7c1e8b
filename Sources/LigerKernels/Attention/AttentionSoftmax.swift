package import LigerRuntime
import Tile

/// What happens to the scores x of a block of queries between the products of attention:
///
///     p = exp(scale x - lse)      lse = log(sum(exp(scale x)))      ds = scale p (dp - delta)
///
/// over the keys that a query sees, and 0 at others. A row is a head's query; rows come unit by unit, in a
/// unit query by query, and for a query head by head. The first query stands at position `firstQuery`, and a
/// query sees the keys up to its position.
///
/// Columns are a multiple of `lanes`, the length of the pieces in which a row is walked; those past the keys
/// may hold anything. Scores and dp are f32, p and ds of any type, arithmetic in fp32. Any number of columns
/// takes the same compiled kernel. A query whose scores are all -inf has p and ds of 0.
///
/// Bytes moved, hidden keys not counted: scores read twice and p written; backward scores and dp read, p and
/// ds written.
package enum AttentionSoftmax {
    /// - Parameters:
    ///   - scores: [rows, columns], f32.
    ///   - probabilities: like the scores, of any type; written.
    ///   - logSumExp: [units, queries, heads], f32, by any strides; written.
    /// - Throws: `RuntimeError` if shapes or types do not fit.
    package static func forward(
        scores: NDArray, into probabilities: NDArray, logSumExp: NDArray, scale: Float, firstQuery: Int,
        lanes: Int
    ) throws {
        try check(scores, logSumExp, lanes, probabilities)
        try AttentionProbabilities(lanes: lanes, dtype: probabilities.dtype).launch(
            programs: scores.shape[0], [scores, probabilities, logSumExp],
            scalars: [.float(scale), .index(firstQuery)])
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
        ds: NDArray, scale: Float, firstQuery: Int, lanes: Int
    ) throws {
        try check(scores, logSumExp, lanes, probabilities, dp, ds)
        try delta.expect("delta", shape: logSumExp.shape, dtype: .f32)
        try AttentionGradients(lanes: lanes, dtype: probabilities.dtype).launch(
            programs: scores.shape[0], [scores, dp, logSumExp, delta, probabilities, ds],
            scalars: [.float(scale), .index(firstQuery)])
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
