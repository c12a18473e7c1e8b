public import LigerRuntime
import Tile

/// Cross entropy with labels and total variation distance from a teacher, token by token from both's logits, in one
/// reading of each. For a row of V logits x of the student and z of the teacher, with label t:
///
///     q = softmax(x)    p = softmax(z)    ce = log(sum(exp(x))) - x[t]    tvd = sum of |q - p| / 2
///
/// Arithmetic is in fp32; equal rows of logits have a distance of exactly 0. A row whose label is ignored has 0 for
/// both. Saved for the backward pass: both logits, and for each row four fp32.
/// Bytes moved: both logits read once, twice where a row exceeds the registers of a program; backward both read and
/// the gradient written once.
public enum CrossEntropyTVD {
    /// Losses of each row, and what the backward pass needs.
    public struct Result: Sendable {
        /// [rows], f32.
        public let crossEntropy, totalVariation: NDArray
        /// [rows, 4], f32: the largest logit and the sum of exponentials, of the student and of the teacher.
        public let statistics: NDArray
    }

    /// - Parameters:
    ///   - student: [rows, V], f32, bf16 or f16, contiguous.
    ///   - teacher: of the same shape, any of these types.
    ///   - labels: [rows], i64 or i32.
    ///   - ignoreIndex: the label of rows that do not count.
    /// - Throws: `RuntimeError` if shapes or types do not fit or memory runs out; `LaunchError` for a label that is
    ///   neither a class nor ignored.
    public static func forward(
        student: NDArray, teacher: NDArray, labels: NDArray, ignoreIndex: Int = -100
    ) throws -> Result {
        try check(student, teacher, labels)
        let rows = student.shape[0], device = student.device
        let result = Result(
            crossEntropy: try NDArray(empty: [rows], device: device),
            totalVariation: try NDArray(empty: [rows], device: device),
            statistics: try NDArray(empty: [rows, 4], device: device))
        let kernel = CrossEntropyTVDForward(
            classes: student.shape[1], student: student.dtype, teacher: teacher.dtype, labels: labels.dtype,
            ignoreIndex: ignoreIndex)
        try kernel.launch(
            programs: rows,
            [
                "student": student, "teacher": teacher, "labels": labels,
                "cross entropy": result.crossEntropy, "total variation": result.totalVariation,
                "statistics": result.statistics,
            ])
        return result
    }

    /// The gradient of a scalar with respect to the student's logits, given those with respect to both losses:
    ///
    ///     dx = dce (q - onehot(t)) + dtvd q (s - sum(s q)),    s = 1/2 where q > p, -1/2 where q < p, else 0
    ///
    /// - Parameters:
    ///   - dCrossEntropy: [rows], f32.
    ///   - dTotalVariation: [rows], f32.
    ///   - student: as for `forward`.
    ///   - teacher: as for `forward`.
    ///   - labels: as for `forward`.
    ///   - statistics: as `forward` returned them.
    ///   - ignoreIndex: as for `forward`.
    /// - Returns: like the student.
    /// - Throws: `RuntimeError` if shapes or types do not fit or memory runs out.
    public static func backward(
        dCrossEntropy: NDArray, dTotalVariation: NDArray, student: NDArray, teacher: NDArray, labels: NDArray,
        statistics: NDArray, ignoreIndex: Int = -100
    ) throws -> NDArray {
        try check(student, teacher, labels)
        let rows = student.shape[0]
        try dCrossEntropy.expect("dCrossEntropy", shape: [rows], dtype: .f32)
        try dTotalVariation.expect("dTotalVariation", shape: [rows], dtype: .f32)
        try statistics.expect("statistics", shape: [rows, 4], dtype: .f32)
        let gradient = try NDArray(empty: student.shape, dtype: student.dtype, device: student.device)
        let kernel = CrossEntropyTVDBackward(
            classes: student.shape[1], student: student.dtype, teacher: teacher.dtype, labels: labels.dtype,
            ignoreIndex: ignoreIndex)
        try kernel.launch(
            programs: rows,
            [
                "student": student, "teacher": teacher, "labels": labels, "dce": dCrossEntropy,
                "dtvd": dTotalVariation, "statistics": statistics, "dx": gradient,
            ])
        return gradient
    }

    private static func check(_ student: NDArray, _ teacher: NDArray, _ labels: NDArray) throws {
        guard student.shape.count == 2 else {
            throw RuntimeError("student has shape \(student.shape). Give it [rows, classes]")
        }
        _ = try student.asRows("student")
        try teacher.expectFloats("teacher", shape: student.shape)
        guard labels.shape == [student.shape[0]], labels.isContiguous,
            labels.dtype == .i64 || labels.dtype == .i32
        else {
            throw RuntimeError(
                "labels must be \(student.shape[0]) of i64 or i32, contiguous; found \(labels.dtype.rawValue) "
                    + "of shape \(labels.shape)")
        }
    }
}
