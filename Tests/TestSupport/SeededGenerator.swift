package import LigerRuntime
package import Tile

/// A generator whose numbers repeat from a seed (SplitMix64).
package struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    package init(seed: UInt64) { state = seed }

    package mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    package mutating func floats(_ count: Int, in range: ClosedRange<Float> = -10...10) -> [Float] {
        (0..<count).map { _ in Float.random(in: range, using: &self) }
    }

    /// Arbitrary 32-bit words.
    package mutating func words(_ count: Int) -> [UInt32] {
        (0..<count).map { _ in UInt32.random(in: .min ... .max, using: &self) }
    }

    /// Arbitrary bytes.
    package mutating func bytes(_ count: Int) -> [UInt8] {
        (0..<count).map { _ in UInt8(truncatingIfNeeded: next()) }
    }
}

extension SeededGenerator {
    package mutating func array(
        _ shape: [Int], _ dtype: DType = .f32, in range: ClosedRange<Float> = -2...2, device: Device = .cpu
    ) throws -> NDArray {
        try NDArray(floats(shape.reduce(1, *), in: range), shape, dtype: dtype, device: device)
    }

    /// Whole numbers from 0 to below `limit`, i64.
    package mutating func tokens(
        _ shape: [Int], below limit: Int, device: Device = .cpu
    ) throws -> NDArray {
        let values = (0..<shape.reduce(1, *)).map { _ in Int.random(in: 0..<limit, using: &self) }
        return try NDArray(integers: values, shape, device: device)
    }
}
