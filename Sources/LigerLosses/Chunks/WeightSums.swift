import LigerKernels
import LigerRuntime
import Tile

/// fp32 sums of a 16-bit weight gradient over chunks of tokens.
///
/// The sums of about the first half of the rows lie where the gradient itself will, so that in addition to the gradient
/// they take little more than its own size.
struct WeightSums {
    private let gradient: NDArray
    /// [firstRows, H] in the gradient's memory, and the rest.
    private let first: NDArray
    private let second: NDArray

    /// Rows that the gradient's memory holds in fp32, in whole lines of memory.
    static func firstRows(_ vocabulary: Int) -> Int { vocabulary / 2 & ~63 }

    static func byteCount(vocabulary: Int, hidden: Int) -> Int {
        4 * (vocabulary - firstRows(vocabulary)) * hidden
    }

    init(like weight: NDArray) throws {
        let (vocabulary, hidden) = (weight.shape[0], weight.shape[1])
        let rows = Self.firstRows(vocabulary)
        gradient = try NDArray(empty: weight.shape, dtype: weight.dtype, device: weight.device)
        first = NDArray(
            buffer: gradient.buffer, offset: 0, shape: [rows, hidden], strides: [hidden, 1], dtype: .f32)
        second = try NDArray(empty: [vocabulary - rows, hidden], device: weight.device)
    }

    /// sums = sums + g^T x, or g^T x alone.
    func add(_ g: NDArray, _ x: NDArray, accumulate: Bool) throws {
        let rows = first.shape[0]
        for (sums, columns) in [(first, 0..<rows), (second, rows..<gradient.shape[0])] where !columns.isEmpty
        {
            try WeightGradient.multiply(g.sliced(1, columns), x, into: sums, accumulate: accumulate)
        }
    }

    /// Multiplies the sums by one number.
    func scale(by factor: NDArray) throws {
        for sums in [first, second] where sums.count > 0 { try CrossEntropy.scale(sums, by: factor) }
    }

    /// The sums rounded once.
    ///
    /// - Parameters:
    ///   - factor: [1], f32: what they still have to be multiplied by.
    ///   - scratch: memory that is free by now.
    func rounded(_ rounding: GradientRounding, factor: NDArray?, scratch: Buffer) throws -> NDArray {
        let (rows, hidden) = (first.shape[0], gradient.shape[1])
        // Rounded rows go to a front half that is half as long: by then the sums there have been read.
        let room = scratch.byteCount / (hidden * gradient.dtype.byteCount)
        let piece = max(1, min(room, rows))
        let buffer =
            room > 0
            ? scratch
            : try Buffer(byteCount: hidden * gradient.dtype.byteCount, device: gradient.device)
        for start in stride(from: 0, to: rows, by: piece) {
            let range = start..<min(start + piece, rows)
            let rounded = NDArray(
                buffer: buffer, offset: 0, shape: [range.count, hidden], strides: [hidden, 1],
                dtype: gradient.dtype)
            try rounding.apply(first.sliced(0, range), into: rounded, rows: range, factor: factor)
            try rounded.copyBytes(to: gradient.sliced(0, range))
        }
        let rest = rows..<gradient.shape[0]
        try rounding.apply(second, into: gradient.sliced(0, rest), rows: rest, factor: factor)
        return gradient
    }
}
