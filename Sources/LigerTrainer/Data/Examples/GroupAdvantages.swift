/// What each answer of a group is worth in comparison with the others (Shao et al., 2024, "DeepSeekMath"): with r the
/// rewards, m their mean and s their standard deviation, over one less than their number,
///
///     A = (r - m) / (s + 1e-4), or r - m where not scaled (Liu et al., 2025, "Dr. GRPO")
///
/// A group whose rewards are all the same teaches nothing: A is 0.
package enum GroupAdvantages {
    /// - Parameter rewards: two or more finite numbers.
    package static func of(_ rewards: [Double], isScaled: Bool) -> [Float] {
        precondition(rewards.count > 1, "a group has two answers or more")
        // Relative to the largest: a sum of finite numbers need not be one.
        let largest = rewards.reduce(0) { max($0, abs($1)) }
        if largest == 0 { return rewards.map { _ in 0 } }
        let shares = rewards.map { $0 / largest }
        let mean = shares.reduce(0, +) / Double(shares.count)
        let differences = shares.map { $0 - mean }
        let squares = differences.reduce(0) { $0 + $1 * $1 }
        guard isScaled else { return differences.map { Float($0 * largest) } }
        let deviation = (squares / Double(shares.count - 1)).squareRoot()
        return differences.map { Float($0 / (deviation + 1e-4 / largest)) }
    }
}
