public import LigerRuntime
import Platform

extension RoPE {
    /// How Llama 3.1 and later stretch a model's context ("llama3" in Hugging Face's configurations). A wave
    /// that turns by f radians per position makes t = f L / 2π turns in the original context L:
    ///
    ///     f / factor where t < low        f where t > high
    ///     (1 - s) f / factor + s f between, s = (t - low) / (high - low)
    public struct Scaling: Sendable, Hashable {
        /// How many times slower the long waves turn.
        public var factor: Double
        /// Waves with fewer turns per original context than this are long.
        public var lowFrequencyFactor: Double
        /// Waves with more turns per original context than this are short.
        public var highFrequencyFactor: Double
        /// Positions the model was first trained with.
        public var originalContext: Int

        /// A stretching; the defaults are those of every published model.
        public init(
            factor: Double, lowFrequencyFactor: Double = 1, highFrequencyFactor: Double = 4,
            originalContext: Int = 8192
        ) {
            self.factor = factor
            self.lowFrequencyFactor = lowFrequencyFactor
            self.highFrequencyFactor = highFrequencyFactor
            self.originalContext = originalContext
        }

        /// A wave's angle per position, in radians.
        func scaled(_ frequency: Double) -> Double {
            let turns = Double(originalContext) * frequency / (2 * Double.pi)
            if turns < lowFrequencyFactor { return frequency / factor }
            if turns > highFrequencyFactor { return frequency }
            let share = (turns - lowFrequencyFactor) / (highFrequencyFactor - lowFrequencyFactor)
            return (1 - share) * frequency / factor + share * frequency
        }
    }

    /// Cosines and sines of every position's angles, for `apply`. Computed in Double on the host and
    /// rounded once.
    ///
    /// - Parameters:
    ///   - count: positions 0 ..< count.
    ///   - headSize: D, or the rotated part of it; even.
    ///   - base: θ.
    ///   - scaling: how positions are stretched; nil leaves them.
    ///   - device: where the tables go.
    /// - Returns: both [count, D/2], f32.
    /// - Throws: `RuntimeError` if a number is out of its range or memory runs out.
    public static func tables(
        positions count: Int, headSize: Int, base: Float, scaling: Scaling? = nil, device: Device = .cpu
    ) throws -> (cos: NDArray, sin: NDArray) {
        try check(count, headSize, base, scaling)
        let half = headSize / 2
        let frequencies = frequencies(headSize: headSize, base: base, scaling: scaling)
        var (cosines, sines) = ([Float](), [Float]())
        cosines.reserveCapacity(count * half)
        sines.reserveCapacity(count * half)
        for position in 0..<count {
            for frequency in frequencies {
                let angle = Double(position) * frequency
                cosines.append(Float(cos(angle)))
                sines.append(Float(sin(angle)))
            }
        }
        return (
            try NDArray(cosines, [count, half], device: device),
            try NDArray(sines, [count, half], device: device)
        )
    }

    /// Angles per position, in radians: θ^(-2i/D) for i in 0 ..< D/2, scaled.
    package static func frequencies(headSize: Int, base: Float, scaling: Scaling?) -> [Double] {
        (0..<(headSize / 2)).map { i in
            let frequency = pow(Double(base), -2 * Double(i) / Double(headSize))
            return scaling?.scaled(frequency) ?? frequency
        }
    }

    private static func check(_ count: Int, _ headSize: Int, _ base: Float, _ scaling: Scaling?) throws {
        var problems: [String] = []
        if count < 1 { problems.append("\(count) positions; give at least 1") }
        if headSize < 2 || headSize % 2 != 0 {
            problems.append("a head size of \(headSize); give an even one of at least 2")
        }
        if !(base > 0 && base.isFinite) { problems.append("a base of \(base); give a positive one") }
        if let scaling {
            if !(scaling.factor > 0 && scaling.factor.isFinite) {
                problems.append("a scaling factor of \(scaling.factor); give a positive one")
            }
            if !(scaling.lowFrequencyFactor < scaling.highFrequencyFactor) {
                problems.append(
                    "a low frequency factor of \(scaling.lowFrequencyFactor) and a high one of "
                        + "\(scaling.highFrequencyFactor); give a low one below the high one")
            }
            if scaling.originalContext < 1 {
                problems.append("an original context of \(scaling.originalContext); give at least 1")
            }
        }
        if !problems.isEmpty {
            throw RuntimeError("tables of rotary positions: found " + problems.joined(separator: "; found "))
        }
    }
}
