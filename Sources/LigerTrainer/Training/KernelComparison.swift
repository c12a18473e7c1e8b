public import LigerNN
public import Tile

/// The same training twice, with the reference code and with fused kernels.
///
/// Both start from the same weights and see the same batches. Their steps alternate, so that whatever else
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

    /// Where both ran: the model of a GPU, or `cpu`.
    public let device: String
    /// Plain code that keeps what the kernels avoid.
    public let reference: Side
    /// Fused kernels.
    public let fused: Side
    /// What `largestDifference` must stay below.
    public let bound: Double

    /// How many steps are judged.
    ///
    /// Training is chaotic: whichever kernels run, the last bit of any number grows with the steps, most of
    /// all where AdamW divides by the root of a vanishing second moment. Beyond some tens of steps two runs
    /// that round differently say nothing about each other any more.
    public static let judgedSteps = 20

    /// The largest difference of the two losses in one of the judged steps, relative to the reference's.
    public var largestDifference: Double { largestDifference(in: Self.judgedSteps) }

    /// The same over all steps.
    public var largestDifferenceOfAll: Double { largestDifference(in: .max) }

    private func largestDifference(in steps: Int) -> Double {
        zip(reference.losses, fused.losses).prefix(steps).reduce(0) { largest, pair in
            let difference = abs(pair.0 - pair.1) / abs(pair.0)
            // A maximum would lose a difference that is no number.
            return difference <= largest ? largest : difference
        }
    }

    /// Whether the losses agree; never when one is no number.
    public var holds: Bool { largestDifference < bound }

    /// The bound of the relative loss difference.
    ///
    /// f32: a single step differs by 1e-7 (2^-24 rounded), the judged ones by up to some 1e-6; 1e-4 leaves
    /// room for an unlucky division and is far below what any wrong formula would show. bf16: the
    /// reference rounds every intermediate result to 8 bits, the kernels one in several; a few 1e-4 are
    /// seen.
    public static func bound(of dtype: DType) -> Double { dtype == .f32 ? 1e-4 : 1e-2 }
}
