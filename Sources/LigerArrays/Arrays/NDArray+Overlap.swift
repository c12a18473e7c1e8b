import Tile

extension NDArray {
    /// Whether the spans of both share memory; exact for contiguous arrays, cautious for others with
    /// interleaved elements in one buffer.
    func mayOverlap(_ other: NDArray) -> Bool {
        guard buffer === other.buffer, count > 0, other.count > 0 else { return false }
        if strides == other.strides, interleaves(with: other) { return false }
        let (mine, theirs) = (byteSpan, other.byteSpan)
        return mine.lowerBound < theirs.upperBound && theirs.lowerBound < mine.upperBound
    }

    /// Column slices of one array: same rows, columns apart.
    private func interleaves(with other: NDArray) -> Bool {
        guard strides.last == 1, dtype == other.dtype, let columns = shape.last,
            let otherColumns = other.shape.last, let pitch = strides.dropLast().min(), pitch > 0
        else { return false }
        let (start, otherStart) = (offset % pitch, other.offset % pitch)
        guard start + columns <= pitch, otherStart + otherColumns <= pitch else { return false }
        return start + columns <= otherStart || otherStart + otherColumns <= start
    }

    private var byteSpan: Range<Int> {
        let span = elementSpan
        return (span.lowerBound * dtype.byteCount)..<(span.upperBound * dtype.byteCount)
    }

    /// The elements of the buffer from the lowest to the highest that is the array's.
    var elementSpan: Range<Int> {
        if count == 0 { return offset..<offset }
        var (low, high) = (offset, offset + 1)
        for (size, stride) in zip(shape, strides) {
            if stride < 0 { low += (size - 1) * stride } else { high += (size - 1) * stride }
        }
        return low..<high
    }
}
