import LigerRuntime
import Tile

/// What a gated unit does to its gate.
enum GatedActivation: Sendable, Hashable {
    case silu, geluTanh, geluErf

    /// The operation's name, for launch counters and messages.
    var operation: String {
        switch self {
        case .silu: "SwiGLU"
        case .geluTanh: "GeGLUTanh"
        case .geluErf: "GeGLUErf"
        }
    }

    /// f(a) and f'(a). All three are f(a) = a g(a) with a rising g from 0 to 1, so f' = g + a g'.
    func callAsFunction(_ a: Tile<Float>) -> (value: Tile<Float>, derivative: Tile<Float>) {
        let (g, slope) = gate(a)
        return (a * g, g + a * slope)
    }

    /// g(a) and g'(a).
    private func gate(_ a: Tile<Float>) -> (Tile<Float>, Tile<Float>) {
        switch self {
        case .silu:
            let g = sigmoid(a)
            return (g, g * (1 - g))
        case .geluTanh:
            // (1 + tanh u) / 2 = sigmoid(2 u). With e = exp(-|2 u|) neither it nor its slope loses digits:
            // 1 - sigmoid would, where a large gate multiplies it.
            let square = a * a
            let z = a * (square * (Self.twoRootTwoOverPi * 0.044715) + Self.twoRootTwoOverPi)
            let inner = square * (Self.twoRootTwoOverPi * 3 * 0.044715) + Self.twoRootTwoOverPi
            let e = exp(-abs(z)), r = reciprocal(e + 1)
            return (select(z < 0, e * r, r), e * r * r * inner)
        case .geluErf:
            let g = erf(a * Self.rootHalf) * 0.5 + 0.5
            return (g, exp(a * a * -0.5) * Self.normalPeak)
        }
    }

    /// 2 √(2/π)
    private static let twoRootTwoOverPi: Float = 1.595_769_1
    /// 1 / √2
    private static let rootHalf: Float = 0.707_106_77
    /// 1 / √(2π)
    private static let normalPeak: Float = 0.398_942_3
}

// MARK: - Over arrays

extension GatedActivation {
    func forward(gate: NDArray, up: NDArray) throws -> NDArray {
        let rows = try gate.asRows("gate")
        try up.expect("up", shape: gate.shape, dtype: gate.dtype)
        let y = try NDArray(empty: gate.shape, dtype: gate.dtype, device: gate.device)
        let kernel = GatedForward(columns: rows.shape[1], dtype: gate.dtype, activation: self)
        try kernel.launch(programs: rows.shape[0], [rows, try up.asRows("up"), y.rows])
        return y
    }

    func backward(dy: NDArray, gate: NDArray, up: NDArray) throws -> (dgate: NDArray, dup: NDArray) {
        let rows = try gate.asRows("gate")
        try up.expect("up", shape: gate.shape, dtype: gate.dtype)
        try dy.expect("dy", shape: gate.shape, dtype: gate.dtype)
        let dgate = try NDArray(empty: gate.shape, dtype: gate.dtype, device: gate.device)
        let dup = try NDArray(empty: gate.shape, dtype: gate.dtype, device: gate.device)
        let kernel = GatedBackward(columns: rows.shape[1], dtype: gate.dtype, activation: self)
        try kernel.launch(
            programs: rows.shape[0],
            [try dy.asRows("dy"), rows, try up.asRows("up"), dgate.rows, dup.rows])
        return (dgate, dup)
    }
}
