import Foundation
import LigerModels
import Testing

@Suite struct SamplingTests {
    private let scores = [0.5, 2, -1, 2, 1, -3.0]

    private func draws(_ sampling: Sampling, count: Int = 4000) -> [Int32: Int] {
        (0..<count).reduce(into: [:]) { $0[sampling.token(from: scores, position: $1), default: 0] += 1 }
    }

    @Test func takesTheFirstOfTheHighest() {
        #expect(Sampling().token(from: scores, position: 3) == 1)
    }

    /// Frequencies within four deviations of the softmax.
    @Test(arguments: [0.5, 1, 2]) func drawsByTheSoftmax(temperature: Double) {
        let weights = scores.map { exp($0 / temperature) }
        let sum = weights.reduce(0, +)
        let found = draws(Sampling(temperature: temperature, seed: 6))
        for (token, weight) in weights.enumerated() {
            let p = weight / sum
            let expected = 4000 * p
            let deviation = (4000 * p * (1 - p)).squareRoot()
            #expect(abs(Double(found[Int32(token)] ?? 0) - expected) <= 4 * deviation + 1, "token \(token)")
        }
    }

    private static let highest: [(Int, [Int32])] = [
        (1, [1]), (2, [1, 3]), (3, [1, 3, 4]), (4, [0, 1, 3, 4]), (9, [0, 1, 2, 3, 4, 5]),
    ]

    @Test(arguments: highest) func drawsFromTheHighest(topK: Int, tokens: [Int32]) {
        #expect(draws(Sampling(temperature: 3, topK: topK)).keys.sorted() == tokens)
    }

    /// Of the likeliest, as few as reach the share: 0.378, 0.755, 0.894, 0.979, ... together.
    private static let nuclei: [(Double, [Int32])] = [
        (1e-9, [1]), (0.3, [1]), (0.5, [1, 3]), (0.85, [1, 3, 4]), (0.95, [0, 1, 3, 4]),
    ]

    @Test(arguments: nuclei) func drawsFromTheNucleus(topP: Double, tokens: [Int32]) {
        #expect(draws(Sampling(temperature: 1, topP: topP)).keys.sorted() == tokens)
    }

    @Test func seedAndPositionDecide() {
        let first = (0..<50).map { Sampling(temperature: 1, seed: 1).token(from: scores, position: $0) }
        #expect(first == (0..<50).map { Sampling(temperature: 1, seed: 1).token(from: scores, position: $0) })
        #expect(first != (0..<50).map { Sampling(temperature: 1, seed: 2).token(from: scores, position: $0) })
    }
}
