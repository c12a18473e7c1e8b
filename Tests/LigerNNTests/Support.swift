import LigerNN
import LigerRuntime
import Tile

/// A generator whose numbers repeat from a seed (SplitMix64).
struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64
    init(_ seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    mutating func array(
        _ shape: [Int], _ dtype: DType = .f32, in range: ClosedRange<Float> = -2...2,
        device: Device = .cpu
    ) throws -> NDArray {
        try NDArray(
            (0..<shape.reduce(1, *)).map { _ in Float.random(in: range, using: &self) }, shape, dtype: dtype,
            device: device)
    }

    mutating func parameter(
        _ name: String, _ shape: [Int], _ dtype: DType = .f32, in range: ClosedRange<Float> = -2...2
    ) throws -> Parameter {
        let parameter = try Parameter(name, shape, dtype: dtype, initialisation: .constant(0))
        parameter.value = try array(shape, dtype, in: range)
        return parameter
    }

    mutating func tokens(_ shape: [Int], below limit: Int, device: Device = .cpu) throws -> NDArray {
        let count = shape.reduce(1, *)
        return try NDArray(
            integers: (0..<count).map { _ in Int.random(in: 0..<limit, using: &self) }, shape, device: device)
    }
}

/// The length of the difference over the length of what was expected; infinite if a value is not finite.
func normError(_ found: [Double], _ expected: [Double]) -> Double {
    guard found.count == expected.count, found.allSatisfy(\.isFinite) else { return .infinity }
    let difference = zip(found, expected).map { ($0 - $1) * ($0 - $1) }.reduce(0, +)
    return (difference / Swift.max(expected.map { $0 * $0 }.reduce(0, +), 1e-60)).squareRoot()
}

/// Largest difference relative to the largest expected magnitude; infinite if a value is not finite.
func relativeError(_ found: [Double], _ expected: [Double]) -> Double {
    guard found.count == expected.count, found.allSatisfy(\.isFinite) else { return .infinity }
    let scale = expected.map { Swift.abs($0) }.max() ?? 0
    return (zip(found, expected).map { Swift.abs($0 - $1) }.max() ?? 0) / Swift.max(scale, 1e-30)
}

extension Tensor {
    /// Sum of the elements, each with its own weight: a scalar whose gradient here is `weights`.
    func weightedSum(_ weights: NDArray) throws -> Tensor {
        let wide = try cast(to: .f32)
        return try wide.multiplied(by: tape.constant(weights)).reshaped([1, value.count]).rowSums()
    }
}

/// Central differences of a formula in Double.
func differences(_ x: [[Double]], _ formula: ([[Double]]) -> Double) -> [[Double]] {
    let step = 1e-5
    return x.indices.map { i in
        x[i].indices.map { j in
            var (above, below) = (x, x)
            above[i][j] += step
            below[i][j] -= step
            return (formula(above) - formula(below)) / (2 * step)
        }
    }
}

/// Checks an operation's value and gradients against a formula in Double and its central differences;
/// returns the largest relative error.
func worstError(
    _ shapes: [[Int]], in range: ClosedRange<Float> = -2...2, seed: UInt64,
    _ operation: ([Tensor]) throws -> Tensor, _ formula: ([[Double]]) -> [Double]
) throws -> Double {
    var random = SeededGenerator(seed)
    let parameters = try shapes.enumerated().map { try random.parameter("\($0)", $1, in: range) }
    let tape = Tape()
    let y = try operation(parameters.map { tape.tensor(of: $0) })
    let weights = try random.array(y.shape, in: 0.5...2)
    let inputs = parameters.map(\.value.doubles)
    var worst = relativeError(y.value.doubles, formula(inputs))
    try tape.backward(y.weightedSum(weights))
    let w = weights.doubles
    let expected = differences(inputs) { zip(formula($0), w).map { $0 * $1 }.reduce(0, +) }
    for (parameter, gradient) in zip(parameters, expected) {
        worst = max(worst, relativeError(parameter.gradient?.doubles ?? [], gradient))
    }
    return worst
}
