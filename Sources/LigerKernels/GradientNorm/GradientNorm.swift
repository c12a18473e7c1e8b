public import LigerRuntime
import Tile

/// The length of all gradients together, and gradients no longer than a limit (Pascanu and others, 2013):
///
///     norm = sqrt(sum over all elements of g^2)       g = g min(1, maximum / (norm + 1e-6))
///
/// Sums are in fp32, in an order fixed by the sizes. Nothing is read back: the norm stays on the device.
public enum GradientNorm {
    /// - Parameter gradients: contiguous, f32, bf16 or f16.
    /// - Returns: [1], f32; NaN or infinite if any gradient is, 0 for none.
    /// - Throws: `RuntimeError` if an array does not fit or memory runs out.
    /// - Cost: gradients read once.
    public static func compute(_ gradients: [NDArray]) throws -> NDArray {
        let norm = try NDArray(empty: [1], device: gradients.first?.device ?? .cpu)
        try compute(gradients, into: norm)
        return norm
    }

    /// As above, into one f32 of the caller's.
    package static func compute(_ gradients: [NDArray], into norm: NDArray) throws {
        let device = norm.device
        for gradient in gradients { try gradient.expectFloats("a gradient", shape: gradient.shape) }
        let counts = gradients.map { ($0.count + SquareSums.block - 1) / SquareSums.block }
        let partial = try NDArray(empty: [counts.reduce(0, +)], device: device)
        var start = 0
        for (gradient, count) in zip(gradients, counts) {
            try SquareSums(dtype: gradient.dtype).launch(
                programs: count,
                ["x": gradient.flattened, "sums": partial.sliced(0, start..<(start + count))])
            start += count
        }
        try RootOfTotal().launch(programs: 1, ["x": partial, "root": norm])
    }

    /// A stretch of a gradient whose rest is with other ranks.
    package struct Part {
        package let elements: NDArray
        /// Elements of the gradient before it: a multiple of `block`.
        package let first: Int
        /// Elements of the whole gradient.
        package let whole: Int

        package init(_ elements: NDArray, first: Int, of whole: Int) {
            precondition(first % GradientNorm.block == 0 || elements.count == 0, "a part of whole blocks")
            (self.elements, self.first, self.whole) = (elements, first, whole)
        }
    }

    /// Elements whose squares are added up in one go: parts that begin at multiples of it have the sums of the whole.
    package static let block = SquareSums.block

    /// As above, where each rank has parts of the gradients, with the bits that the whole gradients give.
    ///
    /// - Parameters:
    ///   - parts: of every gradient one, also where it is empty.
    ///   - add: replaces an f32 array by its sum over all ranks. Where one rank has a sum of squares all others have 0.
    package static func compute(_ parts: [Part], adding add: (NDArray) throws -> Void) throws -> NDArray {
        let device = parts.first?.elements.device ?? .cpu
        func blocks(_ count: Int) -> Int { (count + block - 1) / block }
        let sums = try NDArray.zeros([parts.reduce(0) { $0 + blocks($1.whole) }], device: device)
        var start = 0
        for part in parts {
            let x = part.elements.flattened
            try x.expectFloats("a gradient", shape: x.shape)
            let place = start + part.first / block
            if x.count > 0 {
                try SquareSums(dtype: x.dtype).launch(
                    programs: blocks(x.count),
                    ["x": x, "sums": sums.sliced(0, place..<place + blocks(x.count))])
            }
            start += blocks(part.whole)
        }
        try add(sums)
        let norm = try NDArray(empty: [1], device: device)
        try RootOfTotal().launch(programs: 1, ["x": sums, "root": norm])
        return norm
    }

    /// What `clip` would scale gradients by, for whoever multiplies later: one f32, 1 where the norm is within the limit or
    /// no number.
    package static func factor(norm: NDArray, maximum: Float, into factor: NDArray) throws {
        try ClipFactor().launch(
            programs: 1, ["norm": norm.flattened, "factor": factor.flattened],
            scalars: ["maximum": .float(maximum)])
    }

    /// Scales gradients in place so that their norm is at most `maximum`.
    ///
    /// With a norm that is NaN or infinite no scale helps: gradients stay as they are, and whoever reads the
    /// norm decides whether to take the step.
    ///
    /// - Parameters:
    ///   - gradients: scaled in place, any shapes and float types.
    ///   - norm: as `compute` returned it.
    ///   - maximum: above 0.
    /// - Throws: `RuntimeError` if an argument does not fit.
    /// - Cost: gradients read and written once; nothing where the norm is within the limit.
    public static func clip(_ gradients: [NDArray], norm: NDArray, maximum: Float) throws {
        guard maximum > 0 else {
            throw RuntimeError("the largest gradient norm must be above 0; found \(maximum)")
        }
        guard norm.count == 1, norm.dtype == .f32 else {
            throw RuntimeError("the gradient norm must be one f32; found shape \(norm.shape)")
        }
        for gradient in gradients { try gradient.expectFloats("a gradient", shape: gradient.shape) }
        for gradient in gradients {
            try ClipBlocks(dtype: gradient.dtype).launch(
                programs: (gradient.count + ClipBlocks.block - 1) / ClipBlocks.block,
                ["x": gradient.flattened, "norm": norm.flattened], scalars: ["maximum": .float(maximum)])
        }
    }
}
