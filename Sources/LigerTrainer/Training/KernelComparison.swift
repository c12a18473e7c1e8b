public import Tile

/// The same training twice, with the reference code and with fused kernels.
///
/// Both start from the same weights and see the same batches. Their steps take turns, so that whatever else
/// the machine does falls on both alike.
public struct KernelComparison: Sendable, Equatable {
    /// What one of the two came to.
    public struct Side: Sendable, Equatable {
        /// Which kernels ran.
        public let kernels: KernelSelection
        /// Mean loss per token of each step.
        public let losses: [Double]
        /// Of the median step, the first one left out: it compiles kernels.
        public let tokensPerSecond: Double
        /// Bytes of weights and the optimiser's state.
        public let stateBytes: Int
        /// The most bytes that arrays held during a step beyond that: activations, gradients, logits.
        public let stepBytes: Int

        /// The most bytes that arrays held.
        public var peakBytes: Int { stateBytes + stepBytes }
    }

    /// Plain code that keeps what the kernels avoid.
    public let reference: Side
    /// Fused kernels.
    public let fused: Side
    /// What `largestDifference` must stay below.
    public let bound: Double

    /// The largest difference of the two losses of one step, relative to the reference's.
    public var largestDifference: Double {
        zip(reference.losses, fused.losses).reduce(0) { largest, pair in
            let difference = abs(pair.0 - pair.1) / abs(pair.0)
            // A maximum would lose a difference that is no number.
            return difference <= largest ? largest : difference
        }
    }

    /// Whether the losses agree; never when one is no number.
    public var holds: Bool { largestDifference < bound }

    /// The bound of the relative loss difference over a short run.
    ///
    /// f32: both ways round differently in the last bits (2^-24 each), and a hundred sums in a row and
    /// AdamW's division by small second moments enlarge that; 1e-5 is a hundred times what is seen.
    /// bf16: the reference rounds every intermediate result to 8 bits (2^-9 each), the kernels one in several.
    public static func bound(of dtype: DType) -> Double { dtype == .f32 ? 1e-5 : 1e-2 }
}
