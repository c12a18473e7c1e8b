public import LigerRuntime
import Tile

/// Cross entropy of logits with class numbers, and its gradient in the same pass. For one row x of V logits
/// with label y, and class weights w (1 where there are none):
///
///     v = c tanh(x / c) with a softcap c, else x        lse = log(sum over i of exp(v_i))
///     loss = (1 - ε) w_y (lse - v_y) + ε/V sum over i of w_i (lse - v_i) + ζ lse^2
///     dloss/dv_i = p_i ((1 - ε) w_y + ε/V sum(w) + 2 ζ lse) - ε/V w_i - (1 - ε) w_y [i = y]
///     p = softmax(v)
///
/// with label smoothing ε and z-loss ζ. Rows whose label is `ignoreIndex` have loss and gradient 0 whatever
/// their logits. The mean divides by the sum of w_y over the other rows, the z-loss by their number, as
/// PyTorch and Liger-Kernel do; with no such row the loss is 0.
///
/// Arithmetic is in fp32 whatever the storage; differences are taken before rounding. Bytes moved: logits
/// read once from memory, and once more from cache for the gradient; the gradient written once.
public enum CrossEntropy {
    /// What a loss over many rows is.
    public enum Reduction: String, Sendable, Hashable, CaseIterable {
        /// The mean over the rows that count, weighted by class.
        case mean
        /// The sum over rows.
        case sum
        /// One loss per row.
        case none
    }

    /// What a training run fixes once.
    public struct Options: Sendable, Hashable {
        /// The label of rows that do not count.
        public var ignoreIndex: Int
        /// ε, from 0 to 1.
        public var labelSmoothing: Float
        /// ζ, the weight of lse^2.
        public var zLoss: Float
        /// c, above 0; nil leaves logits as they are.
        public var softcap: Float?
        /// How rows become a loss.
        public var reduction: Reduction
        /// Multiplies a row's loss, z-loss and gradient by the probability of its label, taken as a constant
        /// (dynamic fine-tuning, Wu et al., 2025).
        public var tokenScaling: Bool

        /// Options; the plain mean of PyTorch where none is given.
        public init(
            ignoreIndex: Int = -100, labelSmoothing: Float = 0, zLoss: Float = 0, softcap: Float? = nil,
            reduction: Reduction = .mean, tokenScaling: Bool = false
        ) {
            self.ignoreIndex = ignoreIndex
            self.labelSmoothing = labelSmoothing
            self.zLoss = zLoss
            self.softcap = softcap
            self.reduction = reduction
            self.tokenScaling = tokenScaling
        }
    }

    /// What to compute with the loss.
    public struct Outputs: OptionSet, Sendable {
        public let rawValue: Int
        public init(rawValue: Int) { self.rawValue = rawValue }

        /// The share of counted rows whose largest logit is the label's; per row without reduction.
        public static let accuracy = Outputs(rawValue: 1)
        /// The first class of the largest logit, after the softcap.
        public static let argmax = Outputs(rawValue: 2)
        /// The loss's gradient with respect to the logits.
        public static let gradient = Outputs(rawValue: 4)
        /// The scale of a gradient in f16 apart from it, for a caller that will multiply both by an upstream gradient.
        public static let scale = Outputs(rawValue: 8)
    }

    /// A loss and what was asked for with it.
    public struct Result: Sendable {
        /// [] or, without reduction, [N]; f32; the z-loss is part of it.
        public let loss: NDArray
        /// The z-loss alone, like `loss`; nil where its weight is 0.
        public let zLoss: NDArray?
        /// [] (NaN if no row counts) or, without reduction, 1 or 0 per row; f32.
        public let accuracy: NDArray?
        /// [N], i32; -1 at ignored rows.
        public let argmax: NDArray?
        /// Like the logits, for an upstream gradient of 1 where none was given.
        public let gradient: NDArray?
        /// [N], f32: what rows of the gradient still have to be multiplied by. Nil where that is nothing: for types other
        /// than f16, and where it was not asked for or the upstream gradient is known.
        public let gradientScales: NDArray?
        /// [N], f32; 0 at ignored rows.
        public let lse: NDArray
    }

    /// The loss of logits, and its gradient where wanted.
    ///
    /// - Parameters:
    ///   - logits: [..., V], f32, bf16 or f16, contiguous; leading dimensions count as rows.
    ///   - labels: as many classes as rows, i64 or i32.
    ///   - classWeights: w, [V].
    ///   - options: what the loss has in addition to logits and labels.
    ///   - normaliser: one f32 on the device that the mean divides by, such as the number of labels of a
    ///     whole accumulated batch, instead of what this batch holds. Division by 0 gives 0.
    ///   - upstream: f32, the gradient of a loss without reduction, one per row: where it is known, the gradient is
    ///     for it instead of 1.
    ///   - wants: the gradient and what else is wanted with the loss.
    ///   - givingUpLogits: writes the gradient over the logits.
    /// - Throws: `RuntimeError` if shapes, types or options do not fit or memory runs out; an error that
    ///   names label and row where a label is neither a class nor `ignoreIndex`; the logits are as they were.
    public static func forward(
        logits: NDArray, labels: NDArray, classWeights: NDArray? = nil, options: Options = Options(),
        normaliser: NDArray? = nil, upstream: NDArray? = nil, wants: Outputs = [],
        givingUpLogits: Bool = false
    ) throws -> Result {
        let rows = try logits.asRows("logits")
        let task = try CrossEntropyTask(
            labels: labels, rows: rows.shape[0], classes: rows.shape[1], classWeights: classWeights,
            options: options, normaliser: normaliser, wants: wants, device: logits.device)
        var gradient: NDArray?
        if wants.contains(.gradient) {
            gradient =
                givingUpLogits ? rows : try NDArray(empty: rows.shape, dtype: rows.dtype, device: rows.device)
        }
        try upstream?.expect("upstream", shape: [rows.shape[0]], dtype: .f32)
        let isApart = wants.isSuperset(of: [.gradient, .scale]) && rows.dtype == .f16 && upstream == nil
        let scales = isApart ? try NDArray(empty: [rows.shape[0]], device: rows.device) : nil
        try task.run(rows, 0..<rows.shape[0], gradient: gradient, upstream: upstream, scales: scales)
        return try task.result(gradient: gradient?.reshaped(logits.shape), scales: scales)
    }

    /// Multiplies a gradient by the upstream gradient of the loss, in place.
    ///
    /// - Parameters:
    ///   - gradient: [..., V], as `forward` returned it, or [rows, V] with rows apart.
    ///   - upstream: f32, one number, or one per row for a loss without reduction.
    /// - Throws: `RuntimeError` if shapes or types do not fit.
    public static func scale(_ gradient: NDArray, by upstream: NDArray) throws {
        // Rows may be apart, as those of a linear layer's logits are.
        let isPadded =
            gradient.shape.count == 2 && gradient.dtype.isFloat && gradient.strides[1] == 1
            && gradient.strides[0] > gradient.shape[1]
        let rows = isPadded ? gradient : try gradient.asRows("gradient")
        let isPerRow = upstream.count != 1
        guard upstream.dtype == .f32, upstream.isContiguous, !isPerRow || upstream.count == rows.shape[0]
        else {
            throw RuntimeError(
                "the upstream gradient must be f32 with 1 or \(rows.shape[0]) elements, contiguous; found "
                    + "\(upstream.dtype.rawValue) of shape \(upstream.shape)")
        }
        if !isPerRow, !isPadded, rows.count >= ScaleBlocks.elements {
            let programs = (rows.count + ScaleBlocks.elements - 1) / ScaleBlocks.elements
            return try ScaleBlocks(dtype: gradient.dtype).launch(
                programs: programs, ["x": rows.flattened, "factor": upstream.flattened])
        }
        try ScaleRows(columns: rows.shape[1], dtype: gradient.dtype, isPerRow: isPerRow).launch(
            programs: rows.shape[0], ["x": rows, "factor": upstream.flattened])
    }
}

extension CrossEntropy.Options {
    /// - Throws: `RuntimeError` naming every option outside its range.
    func check() throws {
        var problems: [String] = []
        if !(0...1).contains(labelSmoothing) {
            problems.append("label smoothing is \(labelSmoothing); give it 0 to 1")
        }
        if !zLoss.isFinite { problems.append("the z-loss's weight is \(zLoss); give it a finite number") }
        if let softcap, !(softcap > 0 && softcap.isFinite) {
            problems.append("the softcap is \(softcap); give it a number above 0, or none")
        }
        if !problems.isEmpty { throw RuntimeError("cross entropy: " + problems.joined(separator: "; ")) }
    }
}
