public import LigerRuntime
import Tile

/// Where the documents begin that share the rows of a batch. A token attends within its document, and its position
/// counts from the document's first token, so each document is what it would be in a row of its own.
public struct DocumentBorders: Sendable {
    /// Of each row, where its documents begin: ascending, the first at 0.
    public let starts: [[Int]]
    /// Tokens of a row.
    public let length: Int
    /// [rows, length], i32: where each token's document begins.
    package let firsts: NDArray
    /// [rows length], i32: each token's place in its document.
    package let positions: NDArray

    /// - Throws: `RuntimeError` if starts do not begin with 0, do not ascend or lie beyond a row, or memory runs out.
    public init(starts: [[Int]], length: Int, device: Device) throws {
        (self.starts, self.length) = (starts, length)
        for row in starts {
            let ascends = zip(row, row.dropFirst()).allSatisfy { $0 < $1 }
            guard row.first == 0, ascends, row.last ?? 0 < max(length, 1) else {
                throw RuntimeError(
                    "documents begin at \(row) in a row of \(length) tokens. Give ascending places within the row, "
                        + "the first 0")
            }
        }
        // Where only memory is measured, values are of no use.
        if device.measured != nil {
            firsts = try NDArray(empty: [starts.count, length], dtype: .i32, device: device)
            positions = try NDArray(empty: [starts.count * length], dtype: .i32, device: device)
            return
        }
        var firsts: [Int] = []
        for row in starts {
            for (start, end) in zip(row, row.dropFirst() + [length]) {
                firsts += Array(repeating: start, count: end - start)
            }
        }
        let positions = firsts.enumerated().map { $0.offset % length - $0.element }
        self.firsts = try NDArray(integers: firsts, dtype: .i32, device: device)
            .reshaped([starts.count, length])
        self.positions = try NDArray(integers: positions, dtype: .i32, device: device)
    }

    /// Tokens of the longest document.
    package var longest: Int {
        starts.indices.lazy.flatMap { ranges(ofRow: $0).map(\.count) }.max() ?? 0
    }

    /// The documents of one row, as ranges of its tokens.
    package func ranges(ofRow row: Int) -> [Range<Int>] {
        zip(starts[row], starts[row].dropFirst() + [length]).map { $0..<$1 }
    }

    /// Where the earliest document of these rows begins that has a token at or after a place.
    func first(ofRows rows: ClosedRange<Int>, at place: Int) -> Int {
        rows.map { row in starts[row].last { $0 <= place } ?? 0 }.min() ?? 0
    }

    /// - Throws: `RuntimeError` unless they are those of a batch.
    package func check(batch: Int, length: Int) throws {
        guard starts.count == batch, self.length == length else {
            throw RuntimeError(
                "borders of documents in \(starts.count) rows of \(self.length) tokens for \(batch) of \(length). "
                    + "Give those of this batch")
        }
    }
}
