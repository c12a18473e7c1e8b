import LigerKernels
import Platform

/// How the next token is chosen from its scores.
public struct Sampling: Sendable, Hashable {
    /// What scores are divided by; 0 takes the highest one.
    public var temperature: Double
    /// Only so many of the highest scores count; nil for all.
    public var topK: Int?
    /// Only the likeliest tokens count, as few as have this probability together; nil for all.
    public var topP: Double?
    /// With the token's position, decides what is drawn.
    public var seed: UInt64

    /// The highest score, where nothing else is said.
    public init(temperature: Double = 0, topK: Int? = nil, topP: Double? = nil, seed: UInt64 = 0) {
        self.temperature = temperature
        self.topK = topK
        self.topP = topP
        self.seed = seed
    }

    /// The token chosen from scores, of which the first of equal ones counts as the highest.
    ///
    /// - Parameter position: of the token in the text.
    package func token(from scores: [Double], position: Int) -> Int32 {
        guard temperature > 0 else { return Int32(Self.highest(scores)) }
        // Sorting a vocabulary costs more than a small model's pass; a few of its tokens are sorted with ease.
        var order = Array(scores.indices)
        if let topK, topK < order.count {
            order = Self.largest(topK, of: scores)
        } else {
            order.sort { Self.isBefore($0, $1, scores) }
        }
        let highest = scores[order[0]]
        var weights = order.map { exp((scores[$0] - highest) / temperature) }
        if let topP { weights = Array(weights.prefix(Self.nucleus(weights, topP))) }
        var rest = Self.unit(seed: seed, position: position) * weights.reduce(0, +)
        for (place, weight) in weights.enumerated() {
            rest -= weight
            if rest < 0 { return Int32(order[place]) }
        }
        return Int32(order[weights.count - 1])
    }

    private static func highest(_ scores: [Double]) -> Int {
        var best = 0
        for index in scores.indices where scores[index] > scores[best] { best = index }
        return best
    }

    private static func isBefore(_ a: Int, _ b: Int, _ scores: [Double]) -> Bool {
        (scores[a], b) > (scores[b], a)
    }

    /// The places of the `count` largest scores, in order.
    private static func largest(_ count: Int, of scores: [Double]) -> [Int] {
        var kept: [Int] = []
        for index in scores.indices {
            if kept.count == count, let last = kept.last, !isBefore(index, last, scores) { continue }
            var (low, high) = (0, kept.count)
            while low < high {
                let middle = (low + high) / 2
                if isBefore(kept[middle], index, scores) { low = middle + 1 } else { high = middle }
            }
            kept.insert(index, at: low)
            if kept.count > count { kept.removeLast() }
        }
        return kept
    }

    /// How many of the weights, which fall, come to a share of their sum.
    private static func nucleus(_ weights: [Double], _ share: Double) -> Int {
        let wanted = share * weights.reduce(0, +)
        var sum = 0.0
        for (place, weight) in weights.enumerated() {
            sum += weight
            if sum >= wanted { return place + 1 }
        }
        return weights.count
    }

    /// In [0, 1), of 53 bits.
    private static func unit(seed: UInt64, position: Int) -> Double {
        let words = Philox.words(
            counter: SIMD4(UInt32(truncatingIfNeeded: position), 0, 0, 2), key: seed)
        return Double((UInt64(words.x) << 32 | UInt64(words.y)) >> 11) * 0x1p-53
    }
}
