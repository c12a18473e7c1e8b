import LigerRuntime
import Tile

/// A generator whose numbers repeat from a seed (SplitMix64).
struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64
    init(_ seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    mutating func array(
        _ shape: [Int], _ dtype: DType = .f32, in range: ClosedRange<Float> = -2...2
    ) throws -> NDArray {
        try NDArray(
            (0..<shape.reduce(1, *)).map { _ in Float.random(in: range, using: &self) }, shape, dtype: dtype)
    }
}

/// Sizes around the executor's vectors (16 lanes), batches (512) and blocks of lanes, and 1, 2, 3, which
/// catch lanes that do not exist.
let columnGrid = [1, 2, 3, 15, 16, 17, 127, 128, 129, 511, 512, 513, 1025, 2048]
let floatTypes: [DType] = [.f32, .bf16, .f16]

/// The largest difference, relative to `scale` (by default the largest expected magnitude); infinite if
/// any value is not finite. Where terms cancel, the scale is that of the terms.
func relativeError(_ found: [Double], _ expected: [Double], scale: Double? = nil) -> Double {
    guard found.count == expected.count else { return .infinity }
    let scale = scale ?? expected.map { Swift.abs($0) }.max() ?? 0
    let worst = zip(found, expected).map { a, b in a.isFinite ? Swift.abs(a - b) : .infinity }.max() ?? 0
    return worst / Swift.max(scale, 1e-30)
}

/// The bound on `relativeError`: fp32 arithmetic over `terms` terms, then roundings to the storage type.
func bound(_ dtype: DType, terms: Int = 1, roundings: Double = 1) -> Double {
    let storage = dtype == .f32 ? 0 : roundings * (dtype.epsilon ?? 0) / 2 * 1.01
    return storage + 4e-7 * Double(terms).squareRoot().rounded(.up)
}
