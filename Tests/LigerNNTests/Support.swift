import LigerNN
import LigerRuntime
import TestSupport
import Tile

extension SeededGenerator {
    mutating func parameter(
        _ name: String, _ shape: [Int], _ dtype: DType = .f32, in range: ClosedRange<Float> = -2...2
    ) throws -> Parameter {
        let parameter = Parameter(name, shape, dtype: dtype, initialisation: .constant(0))
        parameter.value = try array(shape, dtype, in: range)
        return parameter
    }
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
    var random = SeededGenerator(seed: seed)
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

extension KernelSelection {
    /// Every fused kernel, but logits that exist all at once.
    static let wholeLogits = KernelSelection(.liger, switches: [.fusedLinearCrossEntropy: false])
}
