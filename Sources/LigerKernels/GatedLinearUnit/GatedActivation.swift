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
    func forward(gate: NDArray, up: NDArray, _ multipliers: GatedMultipliers = .none) throws -> NDArray {
        let rows = try gate.asRows("gate")
        try up.expect("up", shape: gate.shape, dtype: gate.dtype)
        let y = try NDArray(empty: gate.shape, dtype: gate.dtype, device: gate.device)
        try forward(rows, try up.asRows("up"), into: y.rows, multipliers)
        return y
    }

    func backward(
        dy: NDArray, gate: NDArray, up: NDArray, _ multipliers: GatedMultipliers = .none
    ) throws -> (dgate: NDArray, dup: NDArray) {
        let rows = try gate.asRows("gate")
        try up.expect("up", shape: gate.shape, dtype: gate.dtype)
        try dy.expect("dy", shape: gate.shape, dtype: gate.dtype)
        let dgate = try NDArray(empty: gate.shape, dtype: gate.dtype, device: gate.device)
        let dup = try NDArray(empty: gate.shape, dtype: gate.dtype, device: gate.device)
        try backward(
            try dy.asRows("dy"), rows, try up.asRows("up"), into: dgate.rows, dup.rows, multipliers)
        return (dgate, dup)
    }

    /// As above, with dgate written over gate and dup over up.
    func backward(
        dy: NDArray, overGate gate: NDArray, up: NDArray, _ multipliers: GatedMultipliers = .none
    ) throws {
        let rows = try gate.asRows("gate")
        try up.expect("up", shape: gate.shape, dtype: gate.dtype)
        try dy.expect("dy", shape: gate.shape, dtype: gate.dtype)
        let kernel = GatedBackward(
            columns: rows.shape[1], dtype: gate.dtype, activation: self, multipliers: multipliers,
            isOverInputs: true)
        try kernel.launch(
            programs: rows.shape[0],
            ["dy": try dy.asRows("dy"), "gate": rows, "up": try up.asRows("up")])
    }

    /// As `forward`, with gate and up in the halves of one array.
    func forward(gateUp: NDArray) throws -> NDArray {
        let halves = try Halves(gateUp, "gate and up")
        let shape = gateUp.shape.dropLast() + [halves.columns]
        let y = try NDArray(empty: Array(shape), dtype: gateUp.dtype, device: gateUp.device)
        try forward(halves.first, halves.second, into: y.rows, .none)
        return y
    }

    /// As `backward`, with gate and up, and their gradients, in the halves of one array each.
    func backward(dy: NDArray, gateUp: NDArray) throws -> NDArray {
        let halves = try Halves(gateUp, "gate and up")
        try dy.expect("dy", shape: gateUp.shape.dropLast() + [halves.columns], dtype: gateUp.dtype)
        let gradient = try NDArray(empty: gateUp.shape, dtype: gateUp.dtype, device: gateUp.device)
        let results = try Halves(gradient, "gradient")
        try backward(
            try dy.asRows("dy"), halves.first, halves.second, into: results.first, results.second, .none)
        return gradient
    }

    private func forward(
        _ gate: NDArray, _ up: NDArray, into y: NDArray, _ multipliers: GatedMultipliers
    ) throws {
        let kernel = GatedForward(
            columns: gate.shape[1], dtype: gate.dtype, activation: self, multipliers: multipliers)
        try kernel.launch(programs: gate.shape[0], ["gate": gate, "up": up, "y": y])
    }

    private func backward(
        _ dy: NDArray, _ gate: NDArray, _ up: NDArray, into dgate: NDArray, _ dup: NDArray,
        _ multipliers: GatedMultipliers
    ) throws {
        let kernel = GatedBackward(
            columns: gate.shape[1], dtype: gate.dtype, activation: self, multipliers: multipliers)
        try kernel.launch(
            programs: gate.shape[0], ["dy": dy, "gate": gate, "up": up, "dgate": dgate, "dup": dup])
    }
}

/// An array's rows cut in the middle.
private struct Halves {
    let first: NDArray
    let second: NDArray
    let columns: Int

    init(_ array: NDArray, _ name: String) throws {
        let rows = try array.asRows(name)
        guard rows.shape[1] % 2 == 0 else {
            throw RuntimeError(
                "\(name) has shape \(array.shape). The last dimension holds two halves, so it must be even")
        }
        columns = rows.shape[1] / 2
        first = rows.sliced(1, 0..<columns)
        second = rows.sliced(1, columns..<(2 * columns))
    }
}

/// What a model multiplies its gate with before the activation, and the product with after.
package struct GatedMultipliers: Sendable, Hashable {
    package let gate: Float
    package let down: Float

    package init(gate: Float, down: Float) {
        self.gate = gate
        self.down = down
    }

    package static let none = GatedMultipliers(gate: 1, down: 1)
}
