import Tile

/// y[t] = table[ids[t]]; one program a token.
struct EmbeddingForward: TileKernel {
    let columns: Int
    let dtype: DType
    let ids: DType

    func body(_ p: Program) {
        let ids = p.input("ids", ids, rank: 1, as: Int.self)
        let table = p.input("table", dtype, rank: 2), y = p.output("y", dtype, rank: 2)
        let c = p.range(columns)
        let id = knownToken(p, ids[p.index], vocabulary: table.size(0))

        y[p.index, c] = table[id, c]
    }
}

/// Refuses ids outside the vocabulary; one program a token.
struct TokenCheck: TileKernel {
    let ids: DType

    func body(_ p: Program) {
        let ids = p.input("ids", ids, rank: 1, as: Int.self)
        _ = knownToken(p, ids[p.index], vocabulary: p.scalar("vocabulary", as: Int.self))
    }
}

/// Links each token to the next one of its id, from the last token to the first; one program. `first` is read
/// only where `count` says that it is set.
struct LinkTokens: TileKernel {
    let ids: DType

    func body(_ p: Program) {
        let ids = p.input("ids", ids, rank: 1, as: Int.self)
        let first = p.update("first", .i32, rank: 1, as: Int.self)
        let count = p.update("count", .i32, rank: 1, as: Int.self)
        let next = p.output("next", .i32, rank: 1, as: Int.self)
        let tokens = ids.size(0)

        p.loop(from: tokens * 0, to: tokens) { turn in
            let token = tokens - 1 - turn, id = ids[token]
            p.when((id >= 0) & (id < first.size(0))) {
                next[token] = first[id]
                first[id] = token
                count[id] = count[id] + 1
            }
        }
    }
}

/// The same links where many programs run at a time: each compares its token with all others. One program a
/// token; the first token of an id writes for it.
struct LinkTokensByComparing: TileKernel {
    static let block = 1024

    func body(_ p: Program) {
        let ids = p.input("ids", .i32, rank: 1, as: Int32.self)
        let first = p.update("first", .i32, rank: 1, as: Int.self)
        let count = p.update("count", .i32, rank: 1, as: Int.self)
        let next = p.output("next", .i32, rank: 1, as: Int.self)
        let token = p.index, position = token.int32, id = ids[token]
        let lanes = p.range(Self.block), none = Int32.max
        let far = p.full(lanes, integer: none)

        let (earliest, later, same) = p.loop(
            from: token * 0, to: ids.size(0), step: token * 0 + Self.block, carrying: far, far,
            p.full(lanes, integer: 0)
        ) { start, earliest, later, same in
            let place = (lanes + start).index, isSame = ids[lanes + start] == id
            return (
                minimum(earliest, select(isSame, place, none)),
                minimum(later, select(isSame & (place > position), place, none)), same + isSame.int32
            )
        }
        next[token] = min(later).index
        p.when((min(earliest) == position) & (id >= 0) & (id.index < first.size(0))) {
            first[id.index] = token
            count[id.index] = sum(same).index
        }
    }
}

/// Ids as 32-bit integers, in whole blocks: -1 behind the last. One program a block.
struct PadTokens: TileKernel {
    let ids: DType

    func body(_ p: Program) {
        let ids = p.input("ids", ids, rank: 1, as: Int32.self)
        let padded = p.output("padded", .i32, rank: 1, as: Int32.self)
        let block = LinkTokensByComparing.block, start = p.index * block
        let inside = p.range(from: start, capacity: block, limit: ids.size(0))
        let outside = p.range(
            from: maximum(start, ids.size(0)), capacity: block, limit: padded.size(0))
        padded[inside] = ids[inside]
        padded[outside] = p.full(outside, integer: -1)
    }
}

/// dTable[id] = sum of dy over the tokens of the id, in their order; one program an id.
struct EmbeddingBackward: TileKernel {
    let columns: Int
    let dtype: DType
    let table: DType

    func body(_ p: Program) {
        let dy = p.input("dy", dtype, rank: 2)
        let first = p.input("first", .i32, rank: 1, as: Int.self)
        let count = p.input("count", .i32, rank: 1, as: Int.self)
        let next = p.input("next", .i32, rank: 1, as: Int.self)
        let dTable = p.output("dTable", table, rank: 2)
        let id = p.index, c = p.range(columns)

        let occurrences = count[id]
        let start = (token: first[id], sum: p.full(c, 0))
        let total = p.loop(from: occurrences * 0, to: occurrences, carrying: start.token, start.sum) {
            _, token, sum in (next[token], sum + dy[token, c])
        }
        dTable[id, c] = total.1
    }
}

private func knownToken(_ p: Program, _ id: Tile<Int>, vocabulary: Tile<Int>) -> Tile<Int> {
    p.checkedIndex(
        id, below: vocabulary,
        "the token at that position has id {}, which is outside the table. Check the tokenizer against the model"
    )
}
