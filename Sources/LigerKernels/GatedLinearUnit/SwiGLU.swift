public import LigerRuntime

/// The gated unit of Llama and most models since (Shazeer, 2020):
///
///     y = silu(gate) up       silu(a) = a s, s = 1 / (1 + exp(-a))
///
/// Arithmetic is in fp32. In 16-bit storage silu(gate) is rounded before the product, as Hugging Face's
/// modules do by computing one operation after the other: y has their bits. Nothing is saved for the
/// backward pass, which computes the activation again.
/// Bytes moved: gate and up read and y written once; backward reads three arrays and writes two.
public enum SwiGLU {
    /// - Parameters:
    ///   - gate: [..., F], f32, bf16 or f16, contiguous.
    ///   - up: like gate.
    /// - Returns: y, like gate.
    /// - Throws: `RuntimeError` if shapes or types do not fit or memory runs out.
    public static func forward(gate: NDArray, up: NDArray) throws -> NDArray {
        try GatedActivation.silu.forward(gate: gate, up: up)
    }

    /// Gradients of a scalar with respect to both inputs, given its gradient with respect to y.
    ///
    ///     dgate = dy up s (1 + gate (1 - s))      dup = dy silu(gate)
    ///
    /// dgate is rounded once; dup takes silu(gate) as y did.
    /// - Returns: both like gate.
    /// - Throws: `RuntimeError` if shapes or types do not fit or memory runs out.
    public static func backward(
        dy: NDArray, gate: NDArray, up: NDArray
    ) throws -> (dgate: NDArray, dup: NDArray) {
        try GatedActivation.silu.backward(dy: dy, gate: gate, up: up)
    }

    /// As `forward`, for a model that multiplies on the way: y = silu(m gate) up d.
    package static func forward(
        gate: NDArray, up: NDArray, multipliers: GatedMultipliers
    ) throws -> NDArray {
        try GatedActivation.silu.forward(gate: gate, up: up, multipliers)
    }

    /// The gradients of the form with multipliers.
    package static func backward(
        dy: NDArray, gate: NDArray, up: NDArray, multipliers: GatedMultipliers
    ) throws -> (dgate: NDArray, dup: NDArray) {
        try GatedActivation.silu.backward(dy: dy, gate: gate, up: up, multipliers)
    }

    /// The gradients' bits, dgate written over gate and dup over up: for a caller to whom the two are of no more use.
    ///
    /// - Throws: `RuntimeError` if shapes or types do not fit.
    package static func backward(
        dy: NDArray, overGate gate: NDArray, up: NDArray, multipliers: GatedMultipliers = .none
    ) throws {
        try GatedActivation.silu.backward(dy: dy, overGate: gate, up: up, multipliers)
    }

    /// As `forward`, with gate and up in the halves of the last dimension, as one projection makes them.
    ///
    /// - Parameter gateUp: [..., 2F], f32, bf16 or f16, contiguous.
    /// - Returns: [..., F].
    /// - Throws: `RuntimeError` if the last dimension is odd or memory runs out.
    public static func forward(gateUp: NDArray) throws -> NDArray {
        try GatedActivation.silu.forward(gateUp: gateUp)
    }

    /// The gradient with respect to both halves, like gateUp.
    ///
    /// - Throws: `RuntimeError` if shapes or types do not fit or memory runs out.
    public static func backward(dy: NDArray, gateUp: NDArray) throws -> NDArray {
        try GatedActivation.silu.backward(dy: dy, gateUp: gateUp)
    }
}
