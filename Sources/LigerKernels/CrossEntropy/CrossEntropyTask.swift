package import LigerRuntime
import Tile

/// One evaluation of a cross entropy, its rows in one piece or in chunks.
///
/// Labels are checked and counted over all rows first, on the device; then each row's share of the loss is
/// known, and any part of the logits can be worked on.
package struct CrossEntropyTask {
    private let labels: NDArray
    private let classes: Int
    private let classWeights: NDArray?
    private let options: CrossEntropy.Options
    private let normalisers: CrossEntropyNormalisers
    /// Each row's part of it, [rows], f32, once it has been worked on.
    package let loss: NDArray
    private let lse: NDArray
    private let zLoss: NDArray?
    private let correct: NDArray?
    private let argmax: NDArray?

    package init(
        labels: NDArray, rows: Int, classes: Int, classWeights: NDArray?, options: CrossEntropy.Options,
        normaliser: NDArray?, wants: CrossEntropy.Outputs, device: Device
    ) throws {
        try options.check()
        guard labels.count == rows, labels.isContiguous, labels.dtype == .i64 || labels.dtype == .i32 else {
            throw RuntimeError(
                "labels must be \(rows) of i64 or i32, contiguous; found \(labels.dtype.rawValue) of shape "
                    + "\(labels.shape)")
        }
        try classWeights?.expectFloats("class weights", shape: [classes])
        guard normaliser.map({ $0.count == 1 && $0.dtype == .f32 }) ?? true else {
            throw RuntimeError("the normaliser must be one f32; found shape \(normaliser?.shape ?? [])")
        }
        self.labels = labels.flattened
        self.classes = classes
        self.classWeights = classWeights
        self.options = options
        normalisers = try CrossEntropyNormalisers(
            labels: labels.flattened, classes: classes, classWeights: classWeights, options: options,
            given: normaliser, device: device)
        func perRow(_ isWanted: Bool, _ dtype: DType = .f32) throws -> NDArray? {
            isWanted ? try NDArray(empty: [rows], dtype: dtype, device: device) : nil
        }
        loss = try NDArray(empty: [rows], device: device)
        lse = try NDArray(empty: [rows], device: device)
        zLoss = try perRow(options.zLoss != 0)
        correct = try perRow(wants.contains(.accuracy))
        argmax = try perRow(wants.contains(.argmax), .i32)
    }

    /// The most bytes that a task and its result hold.
    package static func byteCount(
        rows: Int, options: CrossEntropy.Options, wants: CrossEntropy.Outputs
    ) -> Int {
        let asked = [options.zLoss != 0, wants.contains(.accuracy), wants.contains(.argmax)]
        let perRow = max(2 + asked.count { $0 }, CrossEntropyNormalisers.arraysPerRow)
        return 4 * (rows * perRow + 16)
    }

    /// Works on a range of rows, whose logits are given: [rows of the range, V], rows with stride 1.
    ///
    /// - Parameters:
    ///   - gradient: where the logits' gradient goes; the logits themselves will do.
    ///   - upstream: [rows], f32, of all rows: what the gradient is for instead of 1.
    ///   - scales: [rows of the range], f32: set to what rows of the gradient are divided by; nil where they are not.
    package func run(
        _ logits: NDArray, _ range: Range<Int>, gradient: NDArray?, upstream: NDArray? = nil,
        scales: NDArray? = nil
    ) throws {
        let isOverLogits = gradient.map { $0.address == logits.address } ?? false
        // f16 would lose what the upstream gradient makes large enough for it.
        let isEarly = gradient?.dtype == .f16
        let kernel = CrossEntropyRows(
            classes: classes, dtype: logits.dtype, labels: labels.dtype, weights: classWeights?.dtype,
            options: options, hasCorrect: correct != nil, hasArgmax: argmax != nil,
            gradient: gradient.map { isOverLogits ? .overLogits : .separate($0.dtype) },
            hasUpstream: isEarly && upstream != nil, hasScales: scales != nil)
        let upstream = upstream?.sliced(0, range)
        try kernel.launch(
            programs: range.count,
            [
                "logits": logits, "labels": labels.sliced(0, range), "shares": normalisers.shares,
                "loss": loss.sliced(0, range), "lse": lse.sliced(0, range), "z-loss": zLoss?.sliced(0, range),
                "correct": correct?.sliced(0, range), "argmax": argmax?.sliced(0, range),
                "weights": classWeights, "weight sum": normalisers.weightSum,
                "gradient": isOverLogits ? nil : gradient, "upstream": isEarly ? upstream : nil,
                "scales": scales,
            ])
        if !isEarly, let gradient, let upstream { try CrossEntropy.scale(gradient, by: upstream) }
    }

    /// Whether a row's loss is its share of -log p of its label and nothing else is asked for.
    package static func isPlain(
        _ options: CrossEntropy.Options, classWeights: NDArray?, wants: CrossEntropy.Outputs
    ) -> Bool {
        options.labelSmoothing == 0 && options.zLoss == 0 && options.softcap == nil && !options.tokenScaling
            && classWeights == nil && wants.isDisjoint(with: [.accuracy, .argmax])
    }

    /// Takes -log p of the labels of a range of rows, where it is found otherwise: nothing else is asked for.
    ///
    /// - Parameters:
    ///   - nll: [rows of the range], f32.
    ///   - total: what rows of exponentials are over, and `factors`, set to what they have to be multiplied by for an upstream
    ///     gradient of 1, or of [rows] for all rows; nil where no gradient is wanted. f32, as `nll`.
    package func run(
        nll: NDArray, _ range: Range<Int>, total: NDArray? = nil, upstream: NDArray? = nil,
        factors: NDArray? = nil
    ) throws {
        try LabelLosses(
            labels: labels.dtype, ignoreIndex: options.ignoreIndex, hasFactors: factors != nil,
            hasUpstream: factors != nil && upstream != nil
        ).launch(
            programs: range.count,
            [
                "nll": nll, "labels": labels.sliced(0, range), "shares": normalisers.shares,
                "loss": loss.sliced(0, range), "total": factors.flatMap { _ in total },
                "upstream": factors.flatMap { _ in upstream?.sliced(0, range) }, "factors": factors,
            ])
    }

    /// The loss, after all rows have been worked on.
    package func result(
        gradient: NDArray? = nil, scales: NDArray? = nil
    ) throws -> CrossEntropy.Result {
        let isReduced = options.reduction != .none
        return CrossEntropy.Result(
            loss: isReduced ? try Total.apply(loss) : loss,
            zLoss: try zLoss.map { isReduced ? try Total.apply($0) : $0 },
            accuracy: try correct.map {
                isReduced ? try Total.apply($0, dividedBy: normalisers.count) : $0
            },
            argmax: argmax, gradient: gradient, gradientScales: scales, lse: lse)
    }
}
