/// Angles per position, in radians, of the waves that rotate pairs of a head's numbers.
package struct RotaryFrequencies: Sendable, Hashable {
    /// Of sequences within the first context, or of all.
    private let near: [Double]
    /// Of longer ones.
    private let far: [Double]?
    /// Positions of the first context.
    private let context: Int
    /// What cosines and sines are multiplied by.
    package let attentionFactor: Double

    /// - Parameter beyond: waves of sequences that are longer than a context.
    package init(
        _ near: [Double], beyond: (context: Int, waves: [Double])? = nil, attentionFactor: Double = 1
    ) {
        self.near = near
        far = beyond?.waves
        context = beyond?.context ?? .max
        self.attentionFactor = attentionFactor
    }

    /// Pairs that are rotated.
    package var count: Int { near.count }

    /// The waves of a sequence of that length.
    package func waves(length: Int) -> [Double] { length > context ? far ?? near : near }
}
