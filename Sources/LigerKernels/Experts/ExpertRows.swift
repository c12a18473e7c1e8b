public import LigerRuntime
import Tile

/// Which row of a matrix belongs to which choice of an expert. Each expert's rows begin at a multiple of a block, so that a
/// block is one expert's; rows that no choice has are zeros. All is on the device: the host knows only how many rows there
/// may be at most.
public struct ExpertRows {
    /// Rows of a block.
    public static let block = 128

    /// [choices], i32: the row of each choice, -1 where its expert is none of these.
    public let place: NDArray
    /// [rows], i32: the choice of each row, -1 where it has none.
    public let source: NDArray
    /// [rows / block], i32: the expert of each block.
    public let experts: NDArray
    /// [experts + 1], i32: the first block of each expert, and the first of none.
    public let starts: NDArray
    /// [1], i32: rows of all experts' blocks.
    public let count: NDArray

    /// Rows that an earlier call found, of shapes and types as above.
    public init(
        place: NDArray, source: NDArray, experts: NDArray, starts: NDArray, count: NDArray
    ) {
        (self.place, self.source, self.experts, self.starts) = (place, source, experts, starts)
        self.count = count
    }

    /// The most rows that some choices can have.
    public static func capacity(choices: Int, experts: Int) -> Int {
        (choices + min(choices, experts) * (block - 1)) / block * block
    }

    /// Finds them on the host, for checks.
    ///
    /// - Parameter choices: an expert's number for each choice; others stand for experts elsewhere.
    package init(_ choices: [Int], experts count: Int, device: Device = .cpu) throws {
        let rows = Self.capacity(choices: choices.count, experts: count)
        var place = [Int](repeating: -1, count: choices.count)
        var source = [Int](repeating: -1, count: rows)
        var (experts, starts) = ([Int](repeating: 0, count: rows / Self.block), [0])
        for expert in 0..<count {
            var row = starts[expert] * Self.block
            for choice in choices.indices where choices[choice] == expert {
                (place[choice], source[row]) = (row, choice)
                row += 1
            }
            starts.append((row + Self.block - 1) / Self.block)
            for block in starts[expert]..<starts[expert + 1] { experts[block] = expert }
        }
        func array(_ values: [Int]) throws -> NDArray {
            try NDArray(integers: values, dtype: .i32, device: device)
        }
        self.init(
            place: try array(place), source: try array(source), experts: try array(experts),
            starts: try array(starts), count: try array([starts[count] * Self.block]))
    }

    /// - Throws: `RuntimeError` where they do not fit some choices of some experts.
    func check(choices: Int, experts number: Int) throws {
        let rows = source.count
        try place.expect("place", shape: [choices], dtype: .i32)
        try source.expect("source", shape: [rows], dtype: .i32)
        try experts.expect("experts", shape: [rows / Self.block], dtype: .i32)
        try starts.expect("starts", shape: [number + 1], dtype: .i32)
        try count.expect("count", shape: [1], dtype: .i32)
        if rows % Self.block != 0 {
            throw RuntimeError(
                "'source' has \(rows) rows. Give a multiple of \(Self.block), as experts have whole blocks")
        }
    }
}
