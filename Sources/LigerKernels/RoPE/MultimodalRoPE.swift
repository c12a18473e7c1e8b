public import LigerRuntime
import Tile

/// Multimodal rotary position embedding (Wang et al., 2024, "Qwen2-VL"): a token has a position in time, height
/// and width, and each section of a head's pairs rotates by one of them:
///
///     y[i] = x[i] cos - x[i + R/2] sin        y[i + R/2] = x[i + R/2] cos + x[i] sin
///
/// with cos and sin of i's section, and R twice the sum of the sections. Dimensions beyond R are copied.
/// Arithmetic is in fp32 with one rounding. Bytes moved: x read and y written once, and a token's cosines and
/// sines once.
public enum MultimodalRoPE {
    /// Rotates every head of every token by its token's angles.
    ///
    /// - Parameters:
    ///   - x: [B, T, heads, D], f32, bf16 or f16, contiguous.
    ///   - cos: [sections, B or 1, T, at least R/2], any of these types, contiguous: a plane of all angles for
    ///     each section. Only the first R/2 columns are read.
    ///   - sin: like cos.
    ///   - sections: pairs of a head for each plane; (16, 24, 24) in Qwen2-VL.
    ///   - inverse: rotates back: the gradient with respect to x, given the one with respect to y.
    /// - Returns: y, like x.
    /// - Throws: `RuntimeError` if shapes or types do not fit or memory runs out.
    public static func apply(
        _ x: NDArray, cos: NDArray, sin: NDArray, sections: [Int], inverse: Bool = false
    ) throws -> NDArray {
        let rows = try x.asRows("x")
        guard x.shape.count == 4 else {
            throw RuntimeError("x has shape \(x.shape). Give it [batch, sequence, heads, head size]")
        }
        let (batch, length, heads, size) = (x.shape[0], x.shape[1], x.shape[2], x.shape[3])
        let half = sections.reduce(0, +)
        guard !sections.isEmpty, sections.allSatisfy({ $0 > 0 }), 2 * half <= size else {
            throw RuntimeError(
                "sections \(sections) for heads of \(size). Give positive ones that add up to at most "
                    + "\(size / 2) pairs")
        }
        _ = try cos.asRows("cos")
        guard cos.shape.count == 4, cos.shape[0] == sections.count,
            cos.shape[1] == batch || cos.shape[1] == 1,
            cos.shape[2] == length, cos.shape[3] >= half
        else {
            throw RuntimeError(
                "cos has shape \(cos.shape). Give it [\(sections.count), \(batch) or 1, \(length), at least "
                    + "\(half)]")
        }
        try sin.expect("sin", shape: cos.shape, dtype: cos.dtype)
        _ = try sin.asRows("sin")
        let y = try NDArray(empty: x.shape, dtype: x.dtype, device: x.device)
        let planes = [sections.count, cos.shape[1] * length, cos.shape[3]]
        try MultimodalRoPEKernel(
            sections: sections, rest: size - 2 * half, dtype: x.dtype, angles: cos.dtype, inverse: inverse
        ).launch(
            programs: rows.shape[0],
            ["x": rows, "cos": cos.reshaped(planes), "sin": sin.reshaped(planes), "y": y.rows],
            scalars: ["heads": .index(heads)])
        return y
    }
}
