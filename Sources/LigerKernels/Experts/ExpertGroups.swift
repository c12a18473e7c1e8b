package import LigerRuntime
import Tile

/// Which row belongs to which choice, where the host knows each expert's: rows in the order of experts and no other rows,
/// choices of an expert in their order.
package struct ExpertGroups {
    /// [choices], i32: the row of each choice.
    package let place: NDArray
    /// [rows], i32: the choice of each row.
    package let source: NDArray
    /// [1], i32: all rows.
    let count: NDArray
    /// Rows of each expert.
    package let ranges: [Range<Int>]
    /// Of a token.
    package let choices: Int

    /// Reads the choices, which waits for their device.
    ///
    /// - Parameters:
    ///   - choices: [tokens, K], i32, contiguous, each 0 ..< experts.
    ///   - count: of experts.
    /// - Throws: `RuntimeError` if a choice is no expert or memory runs out.
    package init(_ choices: NDArray, experts count: Int) throws {
        let device = choices.device, number = choices.count
        self.choices = choices.shape[1]
        if device.measured != nil {
            // Where only memory is measured, any numbers do: rows are as many whoever has them.
            place = try NDArray(empty: [number], dtype: .i32, device: device)
            source = try NDArray(empty: [number], dtype: .i32, device: device)
            self.count = try NDArray(empty: [1], dtype: .i32, device: device)
            ranges = (0..<count).map { number * $0 / count..<number * ($0 + 1) / count }
            return
        }
        var experts = [Int32](repeating: 0, count: number)
        try experts.withUnsafeMutableBytes { try choices.read(into: $0) }
        let sorted = try Self.sorted(experts, count)
        func array(_ values: [Int32]) throws -> NDArray {
            try NDArray(copying: values, [values.count], dtype: .i32, device: device)
        }
        (place, source) = (try array(sorted.place), try array(sorted.source))
        self.count = try array([Int32(number)])
        ranges = sorted.ranges
    }

    private static func sorted(
        _ experts: [Int32], _ count: Int
    ) throws -> (place: [Int32], source: [Int32], ranges: [Range<Int>]) {
        var ends = [Int](repeating: 0, count: count)
        for expert in experts {
            guard expert >= 0, expert < count else {
                throw RuntimeError(
                    "a token was sent to expert \(expert) of \(count). Check what its choices came from")
            }
            ends[Int(expert)] += 1
        }
        for expert in ends.indices.dropFirst() { ends[expert] += ends[expert - 1] }
        let ranges = ends.indices.map { ($0 == 0 ? 0 : ends[$0 - 1])..<ends[$0] }
        var next = ranges.map(\.lowerBound)
        var (place, source) = (experts, experts)
        for (choice, expert) in experts.enumerated() {
            let row = next[Int(expert)]
            next[Int(expert)] += 1
            place[choice] = Int32(row)
            source[row] = Int32(choice)
        }
        return (place, source, ranges)
    }

    /// y[r] = x[r] W^T, or x[r] W, with the matrix W of the row's expert.
    ///
    /// - Parameters:
    ///   - x: [rows, columns].
    ///   - matrices: [experts, ...] of two dimensions each.
    ///   - transposes: whether W is transposed.
    /// - Throws: `RuntimeError` if shapes do not fit or memory runs out.
    package func product(_ x: NDArray, _ matrices: NDArray, transposes: Bool) throws -> NDArray {
        let y = try NDArray(
            empty: [x.shape[0], matrices.shape[transposes ? 1 : 2]], dtype: x.dtype, device: x.device)
        for (expert, range) in ranges.enumerated() where !range.isEmpty {
            _ = try MatMul.apply(
                x.sliced(0, range), matrices.matrix(expert), transposeB: transposes,
                into: y.sliced(0, range))
        }
        return y
    }

    /// dy^T x over each expert's rows, zeros where it has none: added to `sum`, or written there.
    ///
    /// - Parameter sum: [experts, columns of dy, columns of x].
    /// - Throws: `RuntimeError` if shapes do not fit or memory runs out.
    package func weightGradient(
        _ dy: NDArray, _ x: NDArray, into sum: NDArray, accumulate: Bool
    ) throws {
        for (expert, range) in ranges.enumerated() {
            let matrix = sum.matrix(expert)
            if !range.isEmpty {
                _ = try MatMul.apply(
                    dy.sliced(0, range), x.sliced(0, range), transposeA: true, into: matrix,
                    accumulate: accumulate)
            } else if !accumulate {
                try matrix.clear()
            }
        }
    }
}

extension NDArray {
    /// One of several matrices, sharing the buffer.
    fileprivate func matrix(_ number: Int) -> NDArray {
        sliced(0, number..<number + 1).reshaped(Array(shape[1...]))
    }
}
