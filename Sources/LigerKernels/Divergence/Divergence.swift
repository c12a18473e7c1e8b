public import LigerRuntime
import Tile

/// How far a student's distribution is from a teacher's, row by row, and the gradient in the same pass. For a row
/// of V entries, with X = log q the student's log-probabilities and Y = log p the teacher's:
///
///     KL    sum of p (log max(p, eps) - X)        or, from log-probabilities, sum of p (Y - X)
///     JSD   sum of β p (Y - log m) + (1 - β) q (X - log m), m = β p + (1 - β) q
///           β = 0: sum of p (Y - X); β = 1: sum of q (X - Y)
///     TVD   sum of |q - p| / 2, from probabilities
///
/// (Kullback and Leibler, 1951; Lin, 1991, generalised as by Agarwal et al., 2024.) An entry of probability 0 adds
/// 0, whatever its logarithm. Gradients are with respect to what was given of the student, X or q:
///
///     KL  -p        JSD  (1 - β) q (X - log m), at β = 0: -p, at β = 1: q (X - Y + 1)        TVD  ±1/2, 0 where equal
///
/// Arithmetic is in fp32 whatever the storage; log m is taken from the difference X - Y, which costs no digits
/// where both are close. Bytes moved: student and teacher read once, the gradient written once.
public enum Divergence {
    /// Which one.
    public enum Formula: Sendable, Hashable {
        /// Teacher's probabilities, of which none counts as less than eps in the logarithm.
        case kullbackLeibler(eps: Float)
        /// Teacher's log-probabilities.
        case kullbackLeiblerOfLogarithms
        /// β, from 0 to 1; log-probabilities on both sides.
        case jensenShannon(beta: Float)
        /// Probabilities on both sides.
        case totalVariation
    }

    /// How entries become a loss; n is the number of rows that count.
    public enum Reduction: String, Sendable, Hashable, CaseIterable {
        /// Each entry by itself.
        case none
        /// The sum over all.
        case sum
        /// The sum divided by n V.
        case mean
        /// The sum divided by n.
        case batchMean
    }

    /// What a training run fixes once.
    public struct Options: Sendable, Hashable {
        /// How entries become a loss.
        public var reduction: Reduction
        /// The label of rows that do not count; without labels all rows do.
        public var ignoreIndex: Int

        /// Options; the mean over rows where none is given.
        public init(reduction: Reduction = .batchMean, ignoreIndex: Int = -100) {
            self.reduction = reduction
            self.ignoreIndex = ignoreIndex
        }
    }

    /// A loss, and its gradient where wanted.
    public struct Result: Sendable {
        /// [] or, without reduction, like the student; f32. 0 where no row counts.
        public let loss: NDArray
        /// Like the student, for an upstream gradient of 1; nil where not wanted.
        public let gradient: NDArray?
        /// [rows], f32: what the gradient's rows still have to be multiplied by; nil where that is nothing, as it is for
        /// types other than f16 and where scales are not wanted.
        public let gradientScales: NDArray?
    }

    /// - Parameters:
    ///   - formula: which divergence.
    ///   - student: [..., V], f32, bf16 or f16, contiguous; leading dimensions count as rows.
    ///   - teacher: of the same shape, any of these types.
    ///   - labels: as many as rows, i64 or i32; only asked whether they are `ignoreIndex`.
    ///   - options: the ignored label, the reduction and the scale.
    ///   - wantsGradient: false where only the loss is needed.
    ///   - wantsScales: keeps the scales of a gradient in f16 apart from it, for a caller that will multiply both by an
    ///     upstream gradient.
    ///   - givingUpStudent: writes the gradient over the student.
    /// - Throws: `RuntimeError` if shapes, types or options do not fit or memory runs out.
    public static func forward(
        _ formula: Formula, student: NDArray, teacher: NDArray, labels: NDArray? = nil,
        options: Options = Options(), wantsGradient: Bool = true, wantsScales: Bool = false,
        givingUpStudent: Bool = false
    ) throws -> Result {
        try formula.check()
        let rows = try student.asRows("student"), others = try teacher.asRows("teacher")
        try teacher.expect("teacher", shape: student.shape)
        let device = student.device
        let list = try labels.map { try asLabels($0, rows: rows.shape[0]) }
        let share = try DivergenceShare.make(
            rows: rows.shape[0], columns: rows.shape[1], labels: list, options, device)
        let isReduced = options.reduction != .none
        let loss = try NDArray(empty: isReduced ? [rows.shape[0]] : rows.shape, device: device)
        let gradient =
            !wantsGradient || givingUpStudent
            ? nil : try NDArray(empty: rows.shape, dtype: rows.dtype, device: device)
        let scales =
            wantsGradient && wantsScales && rows.dtype == .f16
            ? try NDArray(empty: [rows.shape[0]], device: device) : nil
        let kernel = DivergenceRows(
            columns: rows.shape[1], formula: formula, student: rows.dtype, teacher: others.dtype,
            labels: list?.dtype, ignoreIndex: options.ignoreIndex, isReduced: isReduced,
            gradient: !wantsGradient ? nil : givingUpStudent ? .overStudent : .separate,
            hasScales: scales != nil)
        try kernel.launch(
            programs: rows.shape[0],
            [
                "student": rows, "teacher": others, "share": share, "loss": loss, "labels": list,
                "gradient": gradient, "scales": scales,
            ])
        return Result(
            loss: isReduced ? try Total.apply(loss) : loss.reshaped(student.shape),
            gradient: wantsGradient ? (gradient ?? rows).reshaped(student.shape) : nil,
            gradientScales: scales)
    }

    /// Multiplies a gradient entry by entry by the upstream gradient of a loss without reduction, in place. For
    /// one number, or one per row, there is `CrossEntropy.scale`.
    ///
    /// - Parameters:
    ///   - gradient: as `forward` gave it; overwritten.
    ///   - upstream: f32, like the gradient.
    /// - Throws: `RuntimeError` if shapes or types do not fit.
    public static func scale(_ gradient: NDArray, byEntry upstream: NDArray) throws {
        let rows = try gradient.asRows("gradient")
        try upstream.expectFloats("upstream", shape: gradient.shape)
        try ScaleEntries(columns: rows.shape[1], dtype: gradient.dtype, factor: upstream.dtype).launch(
            programs: rows.shape[0], ["x": rows, "factor": upstream.rows])
    }

    private static func asLabels(_ labels: NDArray, rows: Int) throws -> NDArray {
        guard labels.count == rows, labels.isContiguous, labels.dtype == .i64 || labels.dtype == .i32 else {
            throw RuntimeError(
                "labels must be \(rows) of i64 or i32, contiguous; found \(labels.dtype.rawValue) of shape "
                    + "\(labels.shape)")
        }
        return labels.flattened
    }
}

extension Divergence.Formula {
    /// - Throws: `RuntimeError` naming a number outside its range.
    package func check() throws {
        switch self {
        case .jensenShannon(let beta) where !(0...1).contains(beta):
            throw RuntimeError("the weight β of the teacher is \(beta). Give it 0 to 1")
        case .kullbackLeibler(let eps) where !(eps >= 0 && eps.isFinite):
            throw RuntimeError("eps is \(eps). Give it a finite number of at least 0")
        default: break
        }
    }
}
