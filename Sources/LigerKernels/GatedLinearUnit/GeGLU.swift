public import LigerRuntime

/// The gated unit with GELU (Hendrycks and Gimpel, 2016), as in Gemma:
///
///     y = gelu(gate) up       gelu(a) = a Φ(a)
///
/// Φ is the normal distribution's integral, (1 + erf(a / √2)) / 2, or its approximation
/// (1 + tanh(√(2/π) (a + 0.044715 a³))) / 2. Arithmetic is in fp32; in 16-bit storage gelu(gate) is rounded
/// before the product, as in Hugging Face's modules. Nothing is saved for the backward pass.
/// Bytes moved: as `SwiGLU`.
public enum GeGLU {
    /// How Φ is computed. Model files name it: `gelu_pytorch_tanh` or `gelu`.
    public enum Approximation: String, Sendable, Hashable, CaseIterable {
        /// By the formula with tanh, `gelu_pytorch_tanh`.
        case tanh
        /// By the error function, `gelu`.
        case erf

        var activation: GatedActivation { self == .tanh ? .geluTanh : .geluErf }
    }

    /// - Parameters:
    ///   - gate: [..., F], f32, bf16 or f16, contiguous.
    ///   - up: like gate.
    ///   - approximation: how Φ is computed, as for `forward`.
    /// - Returns: y, like gate.
    /// - Throws: `RuntimeError` if shapes or types do not fit or memory runs out.
    public static func forward(
        gate: NDArray, up: NDArray, approximation: Approximation = .tanh
    ) throws -> NDArray {
        try approximation.activation.forward(gate: gate, up: up)
    }

    /// Gradients of a scalar with respect to both inputs, given its gradient with respect to y.
    ///
    ///     dgate = dy up (Φ(gate) + gate Φ'(gate))     dup = dy gelu(gate)
    ///
    /// dgate is rounded once; dup takes gelu(gate) as y did.
    /// - Returns: both like gate.
    /// - Throws: `RuntimeError` if shapes or types do not fit or memory runs out.
    public static func backward(
        dy: NDArray, gate: NDArray, up: NDArray, approximation: Approximation = .tanh
    ) throws -> (dgate: NDArray, dup: NDArray) {
        try approximation.activation.backward(dy: dy, gate: gate, up: up)
    }

    /// The gradients' bits, dgate written over gate and dup over up: for a caller to whom the two are of no more use.
    ///
    /// - Throws: `RuntimeError` if shapes or types do not fit.
    package static func backward(
        dy: NDArray, overGate gate: NDArray, up: NDArray, approximation: Approximation = .tanh
    ) throws {
        try approximation.activation.backward(dy: dy, overGate: gate, up: up)
    }
}
