public import LigerRuntime
import Tile

/// Arrays of random numbers, made where they lie. An element's number depends on seed, stream and its
/// place in row-major order alone: not on the array's type (but for its rounding), the device's threads or
/// how the work is cut. Words come from Philox4x32-10 with the seed as key and (place, stream) as counter.
///
/// Bytes moved: the array written once; about a hundred integer operations per element.
public enum RandomFill {
    /// Normal numbers, by Box and Muller's transform of two words: √(-2 ln u) cos(2π v), with 24 bits each.
    /// Magnitudes end at 5.8 deviations.
    ///
    /// - Parameters:
    ///   - array: any shape, f32, bf16 or f16, contiguous; overwritten.
    ///   - mean: of the numbers.
    ///   - deviation: their standard deviation.
    ///   - seed: decides all numbers, together with the stream and the element's place.
    ///   - stream: tells arrays of one seed apart, such as a model's parameters.
    /// - Throws: `RuntimeError` if the array does not fit.
    public static func normal(
        _ array: NDArray, mean: Float = 0, deviation: Float = 1, seed: UInt64, stream: UInt32
    ) throws {
        try fill(array, .normal, mean, deviation, seed, stream)
    }

    /// Uniform numbers in `from ..< to`, in 2^24 steps; rounding to the array's type may reach `to`.
    ///
    /// - Parameters:
    ///   - array: any shape, f32, bf16 or f16, contiguous; overwritten.
    ///   - low: the least number.
    ///   - high: above all numbers, but for rounding.
    ///   - seed: decides all numbers, together with the stream and the element's place.
    ///   - stream: tells arrays of one seed apart.
    /// - Throws: `RuntimeError` if the array does not fit.
    public static func uniform(
        _ array: NDArray, from low: Float = 0, to high: Float = 1, seed: UInt64, stream: UInt32
    ) throws {
        try fill(array, .uniform, low, high - low, seed, stream)
    }

    private static func fill(
        _ array: NDArray, _ distribution: RandomFillKernel.Distribution, _ offset: Float, _ scale: Float,
        _ seed: UInt64, _ stream: UInt32
    ) throws {
        guard array.dtype.isFloat, array.isContiguous else {
            throw RuntimeError(
                "random numbers for an array of \(array.dtype.rawValue), shape \(array.shape) and strides "
                    + "\(array.strides). Give it a contiguous one of f32, bf16 or f16")
        }
        let block = RandomFillKernel.block
        try RandomFillKernel(dtype: array.dtype, distribution: distribution).launch(
            programs: (array.count + block - 1) / block, ["y": array.flattened],
            scalars: [
                "offset": .float(offset), "scale": .float(scale),
                "seed": .uint32(UInt32(truncatingIfNeeded: seed)),
                "upper seed": .uint32(UInt32(truncatingIfNeeded: seed >> 32)), "stream": .uint32(stream),
            ])
    }
}
