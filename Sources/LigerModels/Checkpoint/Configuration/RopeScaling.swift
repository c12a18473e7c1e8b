/// The stretching of rotary frequencies that Llama 3.1 introduced (`rope_type: llama3`).
///
/// With wavelength w = 2 pi / f of a frequency f and L the original number of positions:
/// f is kept where w < L / highFrequencyFactor, divided by `factor` where w > L / lowFrequencyFactor, and
/// blended in between by s = (L / w - low) / (high - low) as (1 - s) f / factor + s f.
public struct RopeScaling: Sendable, Hashable {
    /// How much longer the context became; at least 1.
    public var factor: Double
    /// L divided by the shortest wavelength that is fully stretched.
    public var lowFrequencyFactor: Double
    /// L divided by the longest wavelength that is kept.
    public var highFrequencyFactor: Double
    /// Number of positions before the stretching, L.
    public var originalMaximumPositions: Int

    /// A stretching with all its parameters.
    public init(
        factor: Double, lowFrequencyFactor: Double, highFrequencyFactor: Double,
        originalMaximumPositions: Int
    ) {
        self.factor = factor
        self.lowFrequencyFactor = lowFrequencyFactor
        self.highFrequencyFactor = highFrequencyFactor
        self.originalMaximumPositions = originalMaximumPositions
    }
}
