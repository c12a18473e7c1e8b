package import LigerRuntime
import Tile

extension ExpertRows {
    /// Finds them on the device of the choices, without the host: no atomics and no sort. Choices of an expert keep their
    /// order.
    ///
    /// - Parameters:
    ///   - choices: [...], i32, contiguous: an expert's number each; others stand for experts elsewhere.
    ///   - count: of experts.
    /// - Throws: `RuntimeError` if the type does not fit or memory runs out.
    /// - Cost: experts comparisons for each choice, and a turn of a loop for each expert and each 256 choices.
    package init(finding choices: NDArray, experts count: Int) throws {
        guard choices.dtype == .i32, choices.isContiguous, count > 0 else {
            throw RuntimeError(
                "choices of \(count) experts are \(choices.dtype.rawValue). Give contiguous i32, and an expert"
            )
        }
        let list = choices.flattened, part = ExpertCounts.part
        let parts = (list.count + part - 1) / part
        func integers(_ shape: Int...) throws -> NDArray {
            try NDArray(empty: shape, dtype: .i32, device: choices.device)
        }
        let counts = try integers(parts, count), offsets = try integers(parts, count)
        try ExpertCounts(experts: count).launch(
            programs: parts * count, ["choices": list, "counts": counts])
        let totals = try integers(count), starts = try integers(count + 1), rows = try integers(1)
        try ExpertOffsets().launch(
            programs: count, ["counts": counts, "offsets": offsets, "totals": totals])
        try ExpertStarts().launch(programs: 1, ["totals": totals, "starts": starts, "count": rows])

        let capacity = Self.capacity(choices: list.count, experts: count)
        let source = try integers(capacity), place = try integers(list.count)
        let experts = try integers(capacity / Self.block)
        try ExpertsOfBlocks(experts: count).launch(
            programs: experts.count, ["starts": starts, "experts": experts])
        try NoChoices().launch(
            programs: (capacity + NoChoices.block - 1) / NoChoices.block, ["source": source])
        try ExpertPlaces(experts: count).launch(
            programs: list.count,
            ["choices": list, "offsets": offsets, "starts": starts, "place": place, "source": source])
        self.init(place: place, source: source, experts: experts, starts: starts, count: rows)
    }
}

/// How many choices of a part are an expert's; one program a part and expert.
struct ExpertCounts: TileKernel {
    /// Choices of a part.
    static let part = 256
    let experts: Int

    func body(_ p: Program) {
        let choices = p.input("choices", .i32, rank: 1, as: Int32.self)
        let counts = p.output("counts", .i32, rank: 2, as: Int32.self)
        let part = p.index / experts, expert = p.index % experts
        let c = p.range(from: part * Self.part, capacity: Self.part, limit: choices.size(0))
        counts[part, expert] = sum((choices[c] == expert.int32).int32)
    }
}

/// An expert's choices in all parts before each, and in all; one program an expert.
struct ExpertOffsets: TileKernel {
    func body(_ p: Program) {
        let counts = p.input("counts", .i32, rank: 2, as: Int.self)
        let offsets = p.output("offsets", .i32, rank: 2, as: Int.self)
        let totals = p.output("totals", .i32, rank: 1, as: Int.self)
        let expert = p.index, none = expert * 0
        totals[expert] = p.loop(from: none, to: counts.size(0), carrying: none) { part, before in
            offsets[part, expert] = before
            return before + counts[part, expert]
        }
    }
}

/// The first block of each expert, and all blocks' rows; one program.
struct ExpertStarts: TileKernel {
    func body(_ p: Program) {
        let totals = p.input("totals", .i32, rank: 1, as: Int.self)
        let starts = p.output("starts", .i32, rank: 1, as: Int.self)
        let count = p.output("count", .i32, rank: 1, as: Int.self)
        let none = p.index * 0
        let blocks = p.loop(from: none, to: totals.size(0), carrying: none) { expert, before in
            starts[expert] = before
            return before + (totals[expert] + (ExpertRows.block - 1)) / ExpertRows.block
        }
        starts[totals.size(0)] = blocks
        count[none] = blocks * ExpertRows.block
    }
}

/// The expert of each block, the last one of blocks that nobody has; one program a block.
struct ExpertsOfBlocks: TileKernel {
    let experts: Int

    func body(_ p: Program) {
        let starts = p.input("starts", .i32, rank: 1, as: Int32.self)
        let owners = p.output("experts", .i32, rank: 1, as: Int32.self)
        let c = p.range(experts), before = sum((starts[c + 1] <= p.index.int32).int32)
        owners[p.index] = minimum(before, Int32(experts - 1))
    }
}

/// -1 in every row; one program a block.
struct NoChoices: TileKernel {
    static let block = 1024

    func body(_ p: Program) {
        let source = p.output("source", .i32, rank: 1, as: Int32.self)
        let c = p.range(from: p.index * Self.block, capacity: Self.block, limit: source.size(0))
        source[c] = p.full(c, integer: -1)
    }
}

/// The row of each choice behind those of its expert before it, and the choice of that row; one program a choice.
struct ExpertPlaces: TileKernel {
    let experts: Int

    func body(_ p: Program) {
        let choices = p.input("choices", .i32, rank: 1, as: Int32.self)
        let offsets = p.input("offsets", .i32, rank: 2, as: Int.self)
        let starts = p.input("starts", .i32, rank: 1, as: Int.self)
        let place = p.output("place", .i32, rank: 1, as: Int.self)
        let source = p.update("source", .i32, rank: 1, as: Int.self)
        let choice = p.index, part = choice / ExpertCounts.part, chosen = choices[choice]
        let c = p.range(
            from: part * ExpertCounts.part, capacity: ExpertCounts.part, limit: choices.size(0))

        let isEarlier = (choices[c] == chosen) & (c.index < choice.int32)
        let isHere = (chosen >= 0) & (chosen < Int32(experts))
        let expert = select(isHere, chosen, 0).index
        let row = starts[expert] * ExpertRows.block + offsets[part, expert] + sum(isEarlier.int32).index
        place[choice] = select(isHere, row, -1)
        p.when(isHere) { source[row] = choice }
    }
}
