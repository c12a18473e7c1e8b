public import LigerRuntime
import Tile

/// Rotary position embedding as published (Su et al., 2021) and as in Llama 4: dimensions 2i and 2i + 1 of a head
/// are a complex number, times e^(i angle):
///
///     y[2i] = x[2i] cos - x[2i + 1] sin        y[2i + 1] = x[2i + 1] cos + x[2i] sin
///
/// `RoPE` has Hugging Face's other pairing. Arithmetic is in fp32 with one rounding.
/// Bytes moved: x read and y written once, and a token's rotations once.
public enum InterleavedRoPE {
    /// Rotates every head of every token by its token's angles.
    ///
    /// - Parameters:
    ///   - x: [B, T, heads, D], f32, bf16 or f16, contiguous; D is even.
    ///   - rotations: [B or 1, T, D/2, 2], f32, contiguous: cosine and sine of each pair's angle, which is how an
    ///     array of complex numbers lies in memory.
    ///   - inverse: rotates back: the gradient with respect to x, given the one with respect to y.
    /// - Returns: y, like x.
    /// - Throws: `RuntimeError` if shapes or types do not fit or memory runs out.
    public static func apply(_ x: NDArray, rotations: NDArray, inverse: Bool = false) throws -> NDArray {
        _ = try x.asRows("x")
        guard x.shape.count == 4, x.shape[3] % 2 == 0 else {
            throw RuntimeError("x has shape \(x.shape). Give it [batch, sequence, heads, an even head size]")
        }
        let (length, heads, half) = (x.shape[1], x.shape[2], x.shape[3] / 2)
        let sequences = rotations.shape.first == 1 ? 1 : x.shape[0]
        try rotations.expect("rotations", shape: [sequences, length, half, 2], dtype: .f32)
        _ = try rotations.asRows("rotations")
        let y = try NDArray(empty: x.shape, dtype: x.dtype, device: x.device)
        let programs = x.shape[0] * length * heads
        let pairs = [programs, half, 2]
        try InterleavedRoPEKernel(half: half, dtype: x.dtype, inverse: inverse).launch(
            programs: programs,
            [
                "x": x.reshaped(pairs), "rotations": rotations.reshaped([sequences * length, half, 2]),
                "y": y.reshaped(pairs),
            ],
            scalars: ["heads": .index(heads)])
        return y
    }
}
