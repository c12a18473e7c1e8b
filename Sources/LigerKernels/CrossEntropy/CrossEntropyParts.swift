package import LigerRuntime
import Tile

/// Cross entropy of logits whose classes are spread over ranks, of which each has a run of them (Shoeybi and others,
/// "Megatron-LM", 2019). Rank r finds of a row v of its logits
///
///     m_r = max(v)      s_r = sum(exp(v - m_r))      y_r = v[label], 0 where the label is another rank's
///
/// All ranks tell each other these three numbers, and then each has, in the order of ranks,
///
///     m = max(m_r)      s = sum(s_r exp(m_r - m))      loss = (m - sum(y_r)) + log s      dloss/dv = exp(v - m) / s - [label]
///
/// All ranks have the same loss, bit for bit, and the gradient of their own classes' logits.
///
/// Cost: logits read once to find the numbers, and once more, and the gradient written, afterwards.
package struct CrossEntropyParts {
    /// Numbers of a row that ranks tell each other.
    package static let count = 3

    private let labels: NDArray
    private let classes: Range<Int>
    private let ignoreIndex: Int
    private let normalisers: CrossEntropyNormalisers
    /// Each row's part of the loss, [rows], f32, once it has been worked on.
    package let losses: NDArray

    /// - Parameters:
    ///   - labels: of all rows: classes of all ranks, or the ignored one. i64 or i32; checked on the device.
    ///   - classes: those whose logits this rank has.
    ///   - total: classes of all ranks.
    ///   - normaliser: one f32 that the summed loss is divided by; nil for the number of labels that count.
    /// - Throws: `RuntimeError` if shapes or types do not fit or memory runs out.
    package init(
        labels: NDArray, classes: Range<Int>, of total: Int, ignoreIndex: Int = -100,
        normaliser: NDArray? = nil
    ) throws {
        try Self.check(labels, rows: labels.count)
        guard normaliser.map({ $0.count == 1 && $0.dtype == .f32 }) ?? true else {
            throw RuntimeError("the normaliser must be one f32; found shape \(normaliser?.shape ?? [])")
        }
        precondition(classes.lowerBound >= 0 && classes.upperBound <= total, "classes among all")
        self.labels = labels.flattened
        (self.classes, self.ignoreIndex) = (classes, ignoreIndex)
        normalisers = try CrossEntropyNormalisers(
            labels: labels.flattened, classes: total, classWeights: nil,
            options: CrossEntropy.Options(ignoreIndex: ignoreIndex), given: normaliser, device: labels.device)
        losses = try NDArray(empty: [labels.count], device: labels.device)
    }

    /// Bytes that this and its result hold.
    package static func byteCount(rows: Int) -> Int {
        4 * (rows * (1 + CrossEntropyNormalisers.arraysPerRow) + 16)
    }

    /// What this rank's logits say of a range of rows.
    ///
    /// - Parameters:
    ///   - logits: [rows of the range, own classes], rows with stride 1.
    ///   - found: [3, rows of the range], f32, contiguous.
    package func find(in logits: NDArray, _ range: Range<Int>, into found: NDArray) throws {
        try found.expect("the numbers", shape: [Self.count, range.count], dtype: .f32)
        try FindClassParts(
            classes: classes.count, first: classes.lowerBound, dtype: logits.dtype, labels: labels.dtype,
            hasLogitSums: false
        ).launch(
            programs: range.count,
            ["logits": logits, "labels": labels.sliced(0, range), "found": found])
    }

    /// The losses of a range of rows, and the gradient of this rank's logits.
    ///
    /// - Parameters:
    ///   - found: [ranks, 3, rows of the range], f32: what each rank has found.
    ///   - logits: as for `find`.
    ///   - gradient: like the logits; these themselves will do. Nil where it is not wanted.
    ///   - scales: as for `CrossEntropyTask.run`.
    package func finish(
        _ found: NDArray, _ range: Range<Int>, logits: NDArray, gradient: NDArray?, scales: NDArray? = nil
    ) throws {
        let joined = try NDArray(empty: [3, range.count], device: labels.device)
        let labels = labels.sliced(0, range)
        try JoinClassParts(ranks: found.shape[0], labels: labels.dtype, ignoreIndex: ignoreIndex).launch(
            programs: range.count,
            [
                "found": found, "labels": labels, "shares": normalisers.shares, "joined": joined,
                "loss": losses.sliced(0, range),
            ])
        guard let gradient else { return }
        let isOverLogits = gradient.address == logits.address
        try ClassPartGradient(
            classes: classes.count, first: classes.lowerBound, dtype: logits.dtype, labels: labels.dtype,
            ignoreIndex: ignoreIndex, gradient: isOverLogits ? nil : gradient.dtype,
            hasScales: scales != nil, isSmoothed: false
        ).launch(
            programs: range.count,
            [
                "logits": logits, "labels": labels, "joined": joined,
                "gradient": isOverLogits ? nil : gradient, "scales": scales,
            ])
    }

    /// What some classes' logits say of rows by themselves: m_r, s_r, y_r and the sum of v - m_r, [4, rows], f32. Labels are
    /// not checked: one that is no class here has y_r = 0.
    ///
    /// - Parameters:
    ///   - logits: [..., classes], f32, bf16 or f16, contiguous.
    ///   - labels: as many as rows, i64 or i32, of all classes.
    ///   - first: the number of the first class here.
    /// - Throws: `RuntimeError` if shapes or types do not fit or memory runs out.
    package static func numbers(of logits: NDArray, labels: NDArray, first: Int) throws -> NDArray {
        let rows = try logits.asRows("logits")
        try check(labels, rows: rows.shape[0])
        let found = try NDArray(empty: [Self.count + 1, rows.shape[0]], device: logits.device)
        try FindClassParts(
            classes: rows.shape[1], first: first, dtype: rows.dtype, labels: labels.dtype, hasLogitSums: true
        ).launch(
            programs: rows.shape[0], ["logits": rows, "labels": labels.flattened, "found": found])
        return found
    }

    /// The gradient of some classes' logits, like them: exp(v - m) f - h [label] - e, 0 where the label is `ignoreIndex`.
    ///
    /// - Parameter joined: m, f, h and e of each row, [4, rows], f32; the other parameters as for `numbers`.
    package static func gradient(
        of logits: NDArray, labels: NDArray, first: Int, joined: NDArray, ignoreIndex: Int
    ) throws -> NDArray {
        let rows = try logits.asRows("logits")
        try check(labels, rows: rows.shape[0])
        try joined.expect("the rows' numbers", shape: [Self.count + 1, rows.shape[0]], dtype: .f32)
        let gradient = try NDArray(empty: rows.shape, dtype: rows.dtype, device: rows.device)
        try ClassPartGradient(
            classes: rows.shape[1], first: first, dtype: rows.dtype, labels: labels.dtype,
            ignoreIndex: ignoreIndex, gradient: rows.dtype, hasScales: false, isSmoothed: true
        ).launch(
            programs: rows.shape[0],
            ["logits": rows, "labels": labels.flattened, "joined": joined, "gradient": gradient])
        return gradient.reshaped(logits.shape)
    }

    private static func check(_ labels: NDArray, rows: Int) throws {
        guard labels.count == rows, labels.isContiguous, labels.dtype == .i64 || labels.dtype == .i32 else {
            throw RuntimeError(
                "labels must be \(rows) of i64 or i32, contiguous; found \(labels.dtype.rawValue) of shape "
                    + "\(labels.shape)")
        }
    }
}
