import LigerKernels
package import LigerRuntime
package import Tile

/// Reproducible arrays to time and check with (SplitMix64 from a seed).
package struct Samples {
    private var state: UInt64
    private let device: Device

    package init(seed: UInt64, device: Device = .cpu) {
        state = seed
        self.device = device
    }

    /// Values spread evenly over an interval.
    package mutating func array(
        _ shape: [Int], _ dtype: DType = .f32, in range: ClosedRange<Float> = -2...2
    ) throws -> NDArray {
        let count = shape.reduce(1, *)
        if device.isGPU && count > 1 << 22 {
            // Made where it is wanted: the host would take seconds.
            let array = try NDArray(empty: shape, dtype: dtype, device: device)
            try RandomFill.uniform(
                array, from: range.lowerBound, to: range.upperBound, seed: next(), stream: 0)
            return array
        }
        let width = range.upperBound - range.lowerBound
        let values = (0..<count).map { _ in range.lowerBound + width * unit() }
        return try NDArray(values, shape, dtype: dtype, device: device)
    }

    /// Positions below a limit.
    package mutating func positions(_ count: Int, below limit: Int) throws -> NDArray {
        try NDArray(integers: (0..<count).map { _ in Int(next() % UInt64(limit)) }, device: device)
    }

    private mutating func unit() -> Float { Float(next() >> 40) * 0x1p-24 }

    private mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}

/// The largest difference relative to a scale; infinite if any value, found
/// or expected, is not finite or counts differ.
package func relativeError(_ found: [Double], _ expected: [Double], scale: Double? = nil) -> Double {
    guard found.count == expected.count else { return .infinity }
    let scale = scale ?? expected.lazy.map { abs($0) }.max() ?? 0
    // A NaN on either side makes the difference no number, and fails.
    let differences = zip(found, expected).lazy.map { abs($0 - $1) }
    let worst = differences.map { $0.isFinite ? $0 : .infinity }.max() ?? 0
    return worst / max(scale, 1e-30)
}

/// The largest magnitude among expected sums, or that of one of their terms where sums cancel.
package func scale(of sums: [Double], atLeast term: Double) -> Double {
    sums.lazy.map { abs($0) }.reduce(term, max)
}

/// What fp32 arithmetic over some terms and then roundings to a storage type may cost.
package func errorBound(_ dtype: DType, terms: Int = 1, roundings: Double = 1) -> Double {
    let storage = dtype == .f32 ? 0 : roundings * (dtype.epsilon ?? 0) / 2 * 1.01
    return storage + 4e-7 * Double(terms).squareRoot().rounded(.up)
}
