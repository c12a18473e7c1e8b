public import LigerRuntime
import Tile

/// The experts of a mixture-of-experts layer. For a token x with choices e_1..e_K of experts and weights v_k:
///
///     y = sum over k of v_k D_e (silu(G_e x) * (U_e x)),  e = e_k
///
/// A row of a matrix is a token for one of its experts, rows in the order of experts (``ExpertRows``). Two products make y:
/// the first one's epilogue is the gate. Kept for the backward pass: G x and U x of every row. Of products there are four
/// in the backward pass, of rows with matrices and of the rows of an expert; the gathered rows are gathered again, and the
/// weights' gradients need no y of a single expert: d y_r / d v_r = act_r . (D^T dy).
///
/// Arithmetic is fp32 with one rounding where something is stored. Rows and columns of an expert's matrices are multiples of
/// 128, those of I of 64.
public enum Experts {
    /// G and U of all experts, D of all, and the weights of choices.
    public struct Weights {
        /// [E, 2 I, H], [E, H, I], and [T, K].
        public let gateUp, down, choices: NDArray

        /// Weights; shapes are checked when they are used.
        public init(gateUp: NDArray, down: NDArray, choices: NDArray) {
            (self.gateUp, self.down, self.choices) = (gateUp, down, choices)
        }
    }

    /// Which gradients are wanted.
    public struct Needs: OptionSet, Sendable, Hashable {
        public let rawValue: Int
        public init(rawValue: Int) { self.rawValue = rawValue }

        /// Of the tokens.
        public static let input = Needs(rawValue: 1)
        /// Of the matrices G and U.
        public static let gateUp = Needs(rawValue: 2)
        /// Of the matrices D.
        public static let down = Needs(rawValue: 4)
        /// Of the weights of choices.
        public static let choices = Needs(rawValue: 8)
        /// All four.
        public static let all: Needs = [.input, .gateUp, .down, .choices]
    }

    /// Those that are wanted, each like what it is of.
    public struct Gradients {
        /// Of the tokens, of G and U, of D, and of the weights of choices; nil where not wanted.
        public var dInput, dGateUp, dDown, dChoices: NDArray?
    }

    /// - Parameters:
    ///   - x: [T, H]; of one type with the experts' matrices, on a GPU bf16 or f16.
    ///   - weights: of all experts, and of the tokens' choices.
    ///   - rows: which row belongs to which choice.
    ///   - keepsGates: whether a backward pass will come.
    /// - Returns: y, like x, and [rows, 2 I] for the backward pass.
    /// - Throws: `RuntimeError` if shapes or types do not fit, or memory runs out.
    public static func forward(
        _ x: NDArray, _ weights: Weights, _ rows: ExpertRows, keepsGates: Bool
    ) throws -> (y: NDArray, gates: NDArray?) {
        let task = try ExpertTask(x, weights, rows)
        let gates = keepsGates ? try task.rows(2 * task.inner) : nil
        let activations = try task.rows(task.inner)
        try task.activate(try task.gathered(x), gates: gates, into: activations)
        let results = try task.rows(task.hidden)
        try task.multiply(activations, weights.down, hasRows: true, into: results)
        return (try task.mixed(results, by: weights.choices.flattened, like: x), gates)
    }

    /// Gradients, given that of y.
    ///
    /// - Parameters:
    ///   - dy: like x.
    ///   - x: as for `forward`.
    ///   - gates: what `forward` kept.
    ///   - weights: as for `forward`.
    ///   - rows: as for `forward`.
    ///   - needs: which gradients are wanted.
    /// - Throws: `RuntimeError` if shapes or types do not fit, or memory runs out.
    public static func backward(
        dy: NDArray, x: NDArray, gates: NDArray, _ weights: Weights, _ rows: ExpertRows, needs: Needs = .all
    ) throws -> Gradients {
        let task = try ExpertTask(x, weights, rows)
        try dy.expect("dy", shape: x.shape, dtype: x.dtype)
        try gates.expect("gates", shape: [task.capacity, 2 * task.inner], dtype: x.dtype)
        var gradients = Gradients()
        let dgates = try behindGate(task, dy, gates, needs, &gradients)
        if needs.contains(.input) { gradients.dInput = try task.inputGradient(dgates, like: x) }
        if needs.contains(.gateUp) {
            gradients.dGateUp = try task.weightGradient(
                dgates, try task.gathered(x), like: weights.gateUp)
        }
        return gradients
    }

    /// The gates' gradient. Sets those that are found on the way, whose rows are free again then.
    private static func behindGate(
        _ task: ExpertTask, _ dy: NDArray, _ gates: NDArray, _ needs: Needs, _ gradients: inout Gradients
    ) throws -> NDArray {
        let found = try task.throughGate(dy, gates, needs)
        gradients.dChoices = found.dChoices
        gradients.dDown = try found.activations.map {
            try task.weightGradient(found.dyRows, $0, like: task.weights.down)
        }
        return found.dgates
    }

    /// The same gradients, of matrices as what is yet to be computed, right into a sum of any type.
    package static func terms(
        dy: NDArray, x: NDArray, gates: NDArray, _ weights: Weights, _ rows: ExpertRows, needs: Needs
    ) throws -> ExpertTerms {
        let task = try ExpertTask(x, weights, rows)
        try dy.expect("dy", shape: x.shape, dtype: x.dtype)
        try gates.expect("gates", shape: [task.capacity, 2 * task.inner], dtype: x.dtype)
        let found = try task.throughGate(dy, gates, needs)
        var terms = ExpertTerms(dChoices: found.dChoices)
        terms.dDown = found.activations.map { activations in
            ExpertTerm(dy.device) {
                try task.weightGradient(found.dyRows, activations, into: $0, accumulate: $1)
            }
        }
        let dgates = found.dgates
        if needs.contains(.gateUp) {
            terms.dGateUp = ExpertTerm(dy.device) {
                try task.weightGradient(dgates, try task.gathered(x), into: $0, accumulate: $1)
            }
        }
        if needs.contains(.input) { terms.dInput = try task.inputGradient(dgates, like: x) }
        return terms
    }
}
