public import LigerKernels
package import LigerNN
import LigerText
import Platform

/// How rotary positions are stretched beyond the context that a model was first trained with, by the names of Hugging
/// Face's configurations. A wave's angle per position is f = theta^(-2i / headSize).
public enum RopeScaling: Sendable, Hashable {
    /// Long waves alone are slowed down (`llama3`).
    case llama3(RoPE.Scaling)
    /// f / factor.
    case linear(factor: Double)
    /// Another theta beyond the model's positions, to which sequences are held here: no change.
    case dynamic(factor: Double)
    /// See `YaRN`.
    case yarn(YaRN)
    /// See `Long`.
    case long(Long)

    /// f / factor for long waves and f for short ones, with a ramp between those that turn `slow` and `fast` times in the
    /// original context (Peng and others, 2023).
    public struct YaRN: Sendable, Hashable {
        /// How many times slower long waves turn.
        public var factor = 1.0
        /// Turns above which a wave is short.
        public var fast = 32.0
        /// Turns below which a wave is long.
        public var slow = 1.0
        /// Positions the model was first trained with.
        public var originalContext = 1
        /// What cosines and sines are multiplied by.
        public var attentionFactor = 1.0
        /// Whether the ramp's ends are rounded outwards to whole waves.
        public var truncates = true
    }

    /// f divided by a factor of its own for each wave, of which there are two sets: for sequences within the original
    /// context, and for longer ones (Ding and others, 2024).
    public struct Long: Sendable, Hashable {
        /// Within the original context.
        public var short: [Double] = []
        /// Beyond it.
        public var long: [Double] = []
        /// Positions the model was first trained with.
        public var originalContext = 1
        /// What cosines and sines are multiplied by.
        public var attentionFactor = 1.0

        /// No waves, unless some are given.
        public init(
            short: [Double] = [], long: [Double] = [], originalContext: Int = 1, attentionFactor: Double = 1
        ) {
            self.short = short
            self.long = long
            self.originalContext = originalContext
            self.attentionFactor = attentionFactor
        }
    }

    /// How many times longer the context is meant to be; 1 where it is told in another way.
    public var factor: Double {
        switch self {
        case .llama3(let scaling): scaling.factor
        case .linear(let factor), .dynamic(let factor): factor
        case .yarn(let yarn): yarn.factor
        case .long: 1
        }
    }
}

extension RopeConfiguration {
    /// The waves of a head, or of the rotated part of it.
    package func frequencies(headSize whole: Int) -> RotaryFrequencies {
        let headSize = rotatedSize(ofHead: whole)
        func plain(_ scaling: RoPE.Scaling?) -> [Double] {
            RoPE.frequencies(headSize: headSize, base: Float(theta), scaling: scaling)
        }
        switch scaling {
        case nil, .dynamic: return RotaryFrequencies(plain(nil))
        case .llama3(let scaling): return RotaryFrequencies(plain(scaling))
        case .linear(let factor): return RotaryFrequencies(plain(nil).map { $0 / factor })
        case .yarn(let yarn):
            return RotaryFrequencies(
                yarn.scaled(plain(nil), theta: theta), attentionFactor: yarn.attentionFactor)
        case .long(let long):
            return RotaryFrequencies(
                zip(plain(nil), long.short).map { $0 / $1 },
                beyond: (long.originalContext, zip(plain(nil), long.long).map { $0 / $1 }),
                attentionFactor: long.attentionFactor)
        }
    }
}

extension RopeScaling.YaRN {
    /// The factor that the paper suggests for a context so many times longer.
    static func attentionFactor(_ factor: Double, _ weight: Double = 1) -> Double {
        factor <= 1 ? 1 : 0.1 * weight * log(factor) + 1
    }

    fileprivate func scaled(_ frequencies: [Double], theta: Double) -> [Double] {
        let size = Double(2 * frequencies.count)
        /// The wave, counted as i, that turns so many times in the original context.
        func wave(turning turns: Double) -> Double {
            size * log(Double(originalContext) / (turns * 2 * .pi)) / (2 * log(theta))
        }
        let (first, last) = (wave(turning: fast), wave(turning: slow))
        let low = max(truncates ? first.rounded(.down) : first, 0)
        let high = min(truncates ? last.rounded(.up) : last, size - 1)
        let width = high == low ? 0.001 : high - low
        return frequencies.enumerated().map { index, frequency in
            let ramp = min(max((Double(index) - low) / width, 0), 1)
            return frequency / factor * ramp + frequency * (1 - ramp)
        }
    }
}
