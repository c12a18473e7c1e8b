public import LigerRuntime
import Tile

/// Which experts a token goes to, and with which weights (Shazeer and others, 2017). For the scores x of E experts:
///
///     p = softmax(x)      e_1 ... e_K = the experts of the K largest scores, the largest first
///     w_k = p[e_k]        or, normalised, p[e_k] / sum over j of p[e_j]
///
/// Of equal scores the expert with the lowest number comes first, so that choices repeat on every device. Scores decide,
/// not probabilities, of which many may round to 0. -∞ counts as the lowest number there is. A row with NaN has experts
/// that exist and weights that are NaN.
///
/// Arithmetic and weights are fp32 whatever the scores' type. Saved for the backward pass: x, choices and weights.
/// Bytes moved: x read, K weights and choices written; backward these read and dx written once.
public enum Routing {
    /// How many experts a token has.
    public struct Options: Sendable, Hashable {
        /// K.
        public var choices: Int
        /// Whether a token's weights add up to 1.
        public var normalises: Bool

        /// Options; see ``Routing``.
        public init(choices: Int, normalises: Bool) {
            (self.choices, self.normalises) = (choices, normalises)
        }
    }

    /// The most experts.
    public static let mostExperts = 1024
    /// The most choices of a token.
    public static let mostChoices = ExpertTask.mostChoices

    /// - Parameters:
    ///   - scores: x, [T, E], f32, bf16 or f16, contiguous.
    ///   - options: how many choices there are.
    /// - Returns: w, [T, K], f32, and e, [T, K], i32.
    /// - Throws: `RuntimeError` if shapes, types or options do not fit or memory runs out.
    public static func forward(
        _ scores: NDArray, _ options: Options
    ) throws -> (weights: NDArray, choices: NDArray) {
        try check(scores, options)
        let (tokens, device) = (scores.shape[0], scores.device)
        let weights = try NDArray(empty: [tokens, options.choices], device: device)
        let choices = try NDArray(empty: [tokens, options.choices], dtype: .i32, device: device)
        try RoutingForward(experts: scores.shape[1], dtype: scores.dtype, options: options).launch(
            programs: tokens, ["scores": scores, "weights": weights, "choices": choices])
        return (weights, choices)
    }

    /// The gradient of a scalar with respect to x, given its gradient with respect to w. The choice itself has none.
    ///
    ///     dx = p (g - sum over k of w_k dw_k) with g[e_k] = dw_k and 0 elsewhere
    ///     normalised: dx[e_k] = w_k (dw_k - sum over j of w_j dw_j), and 0 elsewhere
    ///
    /// - Parameters:
    ///   - dWeights: [T, K], f32.
    ///   - scores: as for `forward`.
    ///   - weights: what `forward` returned.
    ///   - choices: what `forward` returned.
    ///   - options: as for `forward`.
    /// - Returns: dx, like x.
    /// - Throws: `RuntimeError` if shapes or types do not fit or memory runs out.
    public static func backward(
        dWeights: NDArray, scores: NDArray, weights: NDArray, choices: NDArray, _ options: Options
    ) throws -> NDArray {
        try check(scores, options)
        let shape = [scores.shape[0], options.choices]
        try dWeights.expectF32("dweights", shape: shape)
        try weights.expectF32("weights", shape: shape)
        try choices.expect("choices", shape: shape, dtype: .i32)
        let dScores = try NDArray(empty: scores.shape, dtype: scores.dtype, device: scores.device)
        try RoutingBackward(experts: scores.shape[1], dtype: scores.dtype, options: options).launch(
            programs: shape[0],
            [
                "dweights": dWeights, "scores": scores, "weights": weights, "choices": choices,
                "dscores": dScores,
            ])
        return dScores
    }

    static func check(_ scores: NDArray, _ options: Options) throws {
        let rows = try scores.asRows("scores")
        try scores.expect("scores", shape: rows.shape)
        let (experts, choices) = (scores.shape[1], options.choices)
        guard experts <= mostExperts, (1...mostChoices).contains(choices), choices <= experts else {
            throw RuntimeError(
                "\(choices) choices of \(experts) experts. Give 1 to \(mostChoices) choices of at least as many "
                    + "experts, and \(mostExperts) experts at most")
        }
    }
}
