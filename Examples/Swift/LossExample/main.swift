// Losses of a last layer without its logits: cross entropy as the package has it, and a formula of one's own.

import Foundation
import LigerLosses
import LigerRuntime

let (tokens, hidden, vocabulary) = (64, 32, 1_000)

/// Numbers between -scale and scale that look random and are the same in each run.
func numbers(_ count: Int, scale: Float, seed: UInt64) -> [Float] {
    var state = seed
    return (0..<count).map { _ in
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return (Float(state >> 40) / Float(1 << 23) - 1) * scale
    }
}

let input = try NDArray(numbers(tokens * hidden, scale: 1, seed: 1), [tokens, hidden])
let weightValues = numbers(vocabulary * hidden, scale: 0.3, seed: 2)
let weight = try NDArray(weightValues, [vocabulary, hidden])
let labels = try NDArray(integers: (0..<tokens).map { ($0 * 31) % vocabulary })

// MARK: Cross entropy

// What a call takes is known before it runs.
let options = FusedLinearCrossEntropy.Options(budgetBytes: 64 << 10)
let plan = FusedLinearCrossEntropy.plan(
    tokens: tokens, hidden: hidden, vocabulary: vocabulary, options: options)
print("\(plan.chunks) chunks of \(plan.chunkTokens) tokens, at most \(plan.peakBytes) bytes")

let result = try FusedLinearCrossEntropy.forward(
    input: input, weight: weight, labels: labels, options: options)
print("cross entropy \(result.loss.floats[0]), gradient of the weight \(result.dWeight?.shape ?? [])")

// MARK: A formula of one's own

/// The focal loss (Lin et al., 2017), L = -mean((1 - p)^2 log p), which counts tokens less that are already likely.
///
/// With l = log p it is a function of l alone: that and its derivative are all there is to write.
func focalLoss(_ logProbabilities: [Double]) -> (loss: Double, derivatives: [Double]) {
    let count = Double(logProbabilities.count)
    let terms = logProbabilities.map { l -> (Double, Double) in
        let p = exp(l), miss = 1 - p
        return (-miss * miss * l / count, (2 * miss * p * l - miss * miss) / count)
    }
    return (terms.reduce(0) { $0 + $1.0 }, terms.map(\.1))
}

func focalLoss(of weight: NDArray) throws -> (loss: Double, dWeight: NDArray?) {
    let head = LinearHead(input: input, weight: weight)
    let found = try LinearLogProbabilities.forward(head: head, labels: labels)
    let (loss, derivatives) = focalLoss(found.logProbabilities.doubles)
    let gradients = try LinearLogProbabilities.backward(
        head: head, labels: labels, found, coefficients: NDArray(derivatives.map(Float.init)))
    return (loss, gradients.dWeight)
}

// The gradient is checked against the loss itself: a small step along it changes the loss by its squared length.
let (loss, dWeight) = try focalLoss(of: weight)
let gradient = dWeight?.doubles ?? []
let squared = gradient.reduce(0) { $0 + $1 * $1 }
let step = 0.05
let moved = try focalLoss(
    of: NDArray(zip(weightValues, gradient).map { $0 - Float(step * $1) }, [vocabulary, hidden]))
let back = try focalLoss(
    of: NDArray(zip(weightValues, gradient).map { $0 + Float(step * $1) }, [vocabulary, hidden]))
let slope = (back.loss - moved.loss) / (2 * step)
guard abs(slope / squared - 1) < 1e-3 else {
    print("the slope is \(slope), the squared gradient \(squared)")
    exit(1)
}
print("focal loss \(loss), slope along its gradient \(slope), expected \(squared)")
