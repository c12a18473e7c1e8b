internal import Platform

/// The learning rate as a function of the step alone, so that a resumed run needs nothing but its number.
///
/// With w warm-up steps, T steps in all, peak rate p and minimum ratio m:
///
///     rate(s) = p (s + 1) / (w + 1)                                   for s < w
///     rate(s) = p                                                      constant
///     rate(s) = p (m + (1 - m) (1 - t))                                linear
///     rate(s) = p (m + (1 - m) (1 + cos(pi t)) / 2)                    cosine
///     t = (s - w) / (T - w)
///
/// The warm-up never starts at 0 and the decay never arrives there before step T: no step is wasted.
public struct LearningRateSchedule: Sendable, Equatable {
    /// How the rate goes on after the warm-up.
    public enum Shape: String, Codable, Sendable, CaseIterable {
        /// The highest rate to the end.
        case constant
        /// A straight line.
        case linear
        /// Half a wave of the cosine.
        case cosine

        /// The share of the peak rate at the end when none is given.
        public var defaultMinimumRatio: Double {
            switch self {
            case .constant: 1
            case .linear: 0
            case .cosine: 0.1
            }
        }
    }

    /// How the rate goes on after the warm-up.
    public let shape: Shape
    /// The highest rate, reached at step `warmupSteps`.
    public let peak: Double
    /// Steps below the peak at the start.
    public let warmupSteps: Int
    /// Steps of the whole run; the rate stays at its minimum beyond.
    public let totalSteps: Int
    /// The rate at the end as a share of `peak`.
    public let minimumRatio: Double

    /// A schedule; the arguments are those of validated `TrainingOptions`.
    public init(shape: Shape, peak: Double, warmupSteps: Int, totalSteps: Int, minimumRatio: Double? = nil) {
        precondition(warmupSteps >= 0 && totalSteps > warmupSteps, "the warm-up must end before the run")
        self.shape = shape
        self.peak = peak
        self.warmupSteps = warmupSteps
        self.totalSteps = totalSteps
        self.minimumRatio = minimumRatio ?? shape.defaultMinimumRatio
    }

    /// The rate for the update number `step`, counted from 0.
    public func rate(at step: Int) -> Double {
        precondition(step >= 0, "steps count from 0")
        if step < warmupSteps {
            return peak * Double(step + 1) / Double(warmupSteps + 1)
        }
        let progress = min(1, Double(step - warmupSteps) / Double(totalSteps - warmupSteps))
        let remaining: Double =
            switch shape {
            case .constant: 1
            case .linear: 1 - progress
            case .cosine: (1 + cos(.pi * progress)) / 2
            }
        return peak * (minimumRatio + (1 - minimumRatio) * remaining)
    }
}
