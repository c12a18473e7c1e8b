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
    /// - Cost: experts comparisons for each choice, 256 more, and for each expert and 256 choices a look at those before.
    package init(finding choices: NDArray, experts count: Int) throws {
        guard choices.dtype == .i32, choices.isContiguous, count > 0 else {
            throw RuntimeError(
                "choices of \(count) experts are \(choices.dtype.rawValue). Give contiguous i32, and an expert"
            )
        }
        let list = choices.flattened, part = ExpertCounts.part
        let parts = max(1, (list.count + part - 1) / part)
        func integers(_ shape: Int...) throws -> NDArray {
            try NDArray(empty: shape, dtype: .i32, device: choices.device)
        }
        let counts = try integers(count, parts), offsets = try integers(count, parts)
        try ExpertCounts(experts: count).launch(
            programs: parts * count, ["choices": list, "counts": counts])
        let blocks = try integers(count), starts = try integers(count + 1), rows = try integers(1)
        try ExpertOffsets(parts: LigerKernels.capacity(for: parts, atLeast: 256)).launch(
            programs: parts * count, ["counts": counts, "offsets": offsets, "blocks": blocks])
        try ExpertStarts(experts: count).launch(
            programs: count + 1, ["blocks": blocks, "starts": starts, "count": rows])

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
        let parts = counts.size(1), expert = p.index / parts, part = p.index % parts
        let c = p.range(from: part * Self.part, capacity: Self.part, limit: choices.size(0))
        counts[expert, part] = sum((choices[c] == expert.int32).int32)
    }
}

/// An expert's choices in all parts before each, and the blocks that they take; one program a part of an expert.
struct ExpertOffsets: TileKernel {
    /// The most there are.
    let parts: Int

    func body(_ p: Program) {
        let counts = p.input("counts", .i32, rank: 2, as: Int32.self)
        let offsets = p.output("offsets", .i32, rank: 2, as: Int32.self)
        let blocks = p.output("blocks", .i32, rank: 1, as: Int.self)
        let number = counts.size(1), expert = p.index / number, part = p.index % number
        let before = sum(counts[expert, p.range(capacity: parts, limit: part)])
        offsets[expert, part] = before
        p.when(part == number - 1) {
            let choices = (before + counts[expert, part]).index
            blocks[expert] = (choices + (ExpertRows.block - 1)) / ExpertRows.block
        }
    }
}

/// The first block of each expert, and all blocks' rows; one program an expert, and one more.
struct ExpertStarts: TileKernel {
    let experts: Int

    func body(_ p: Program) {
        let blocks = p.input("blocks", .i32, rank: 1, as: Int32.self)
        let starts = p.output("starts", .i32, rank: 1, as: Int32.self)
        let count = p.output("count", .i32, rank: 1, as: Int32.self)
        let c = p.range(experts)
        let before = sum(select(c.index < p.index.int32, blocks[c], 0))
        starts[p.index] = before
        p.when(p.index == experts) { count[p.index - experts] = before * Int32(ExpertRows.block) }
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
        let row = starts[expert] * ExpertRows.block + offsets[expert, part] + sum(isEarlier.int32).index
        place[choice] = select(isHere, row, -1)
        p.when(isHere) { source[row] = choice }
    }
}
