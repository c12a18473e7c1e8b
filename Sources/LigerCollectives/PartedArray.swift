package import LigerRuntime
internal import Tile

/// An array of which each rank has a part.
package struct PartedArray {
    /// Contiguous, of the same size on every rank.
    package let array: NDArray
    /// The elements of each rank, counted from the array's first; every element is in one part.
    package let parts: [Range<Int>]

    package init(_ array: NDArray, parts: [Range<Int>]) {
        precondition(parts.reduce(0) { $0 + $1.count } == array.count, "parts make up the array")
        self.array = array.flattened
        self.parts = parts
    }

    /// Parts of like length: whole vectors of 16 bytes, the last rank's fewer.
    init(even array: NDArray, ranks: Int) {
        let vector = 16 / array.dtype.byteCount
        let each = ((array.count + ranks - 1) / ranks + vector - 1) / vector * vector
        self.init(
            array,
            parts: (0..<ranks).map { min($0 * each, array.count)..<min(($0 + 1) * each, array.count) })
    }

    package func part(of rank: Int) -> NDArray { array.sliced(0, parts[rank]) }
}

/// What is exchanged of an array at a time: a stretch of each rank's part.
struct ArrayPiece {
    /// Of the array among those that are exchanged.
    let index: Int
    private let array: NDArray
    private let ranges: [Range<Int>]
    /// Where the stretches begin in their parts.
    let first: Int

    func stretch(of rank: Int) -> NDArray { array.sliced(0, ranges[rank]) }

    /// Arrays in their order, cut where they are long, some pieces at a time: the same on every rank.
    static func buckets(_ arrays: [PartedArray], ranks: Int, bytes limit: Int) -> [[ArrayPiece]] {
        var buckets: [[ArrayPiece]] = []
        var bytes = limit
        for piece in arrays.enumerated().flatMap({ pieces(of: $1, index: $0, bytes: limit / ranks) }) {
            if bytes >= limit { (buckets, bytes) = (buckets + [[]], 0) }
            buckets[buckets.count - 1].append(piece)
            bytes += piece.byteCount
        }
        return buckets
    }

    private var byteCount: Int { ranges.reduce(0) { $0 + $1.count } * array.dtype.byteCount }

    /// - Parameter bytes: the most of a rank's part.
    private static func pieces(of parted: PartedArray, index: Int, bytes: Int) -> [ArrayPiece] {
        // Whole vectors of 16 bytes.
        let most = max(16, bytes / 16 * 16) / parted.array.dtype.byteCount
        let longest = parted.parts.map(\.count).max() ?? 0
        return stride(from: 0, to: longest, by: most).map { first in
            let ranges = parted.parts.map { part in
                let start = min(part.lowerBound + first, part.upperBound)
                return start..<min(start + most, part.upperBound)
            }
            return ArrayPiece(index: index, array: parted.array, ranges: ranges, first: first)
        }
    }
}
