import LigerRuntime
import Tile

/// How attention is cut into blocks: queries of some units at a time, and the keys that one of them sees.
///
/// Queries are cut by the shape alone where the budget allows, so that sums over queries do not depend on it.
struct AttentionPlan {
    let shape: AttentionShape
    let documents: DocumentBorders?
    let budgetBytes: Int
    /// Query positions of a block, and columns of a piece of a row.
    let queries: Int
    let lanes: Int
    /// Whether units are copied apart before the products.
    let packs: Bool

    /// One step: `[units, queries * group, keys]` scores.
    struct Block {
        let units: Range<Int>
        let queries: Range<Int>
        /// Up to the last query, from the first key that one of the queries sees.
        let keys: Range<Int>
        /// Columns in memory: whole pieces.
        let pitch: Int
        let group: Int

        var rows: Int { units.count * queries.count * group }
        var elements: Int { rows * pitch }
    }

    init(_ shape: AttentionShape, documents: DocumentBorders? = nil, budgetBytes: Int) {
        self.shape = shape
        self.documents = documents
        self.budgetBytes = budgetBytes
        lanes = Self.lanes(shape.length)
        // Rows enough for fast products, queries few enough that little is spent beyond the diagonal.
        let wanted = min(shape.length, max(64, min(256, 1024 / shape.group)))
        let mostKeys = min(shape.length, (shape.window ?? shape.length) + wanted)
        let rowBytes = 4 * Self.pitch(mostKeys, lanes)
        let affordable = budgetBytes / (rowBytes * shape.group)
        queries = affordable >= wanted ? wanted : max(min(16, wanted), affordable / 16 * 16)
        let sequenceBytes = shape.heads * queries * rowBytes
        packs =
            shape.kvHeads > 1 && (shape.group > 1 || (shape.batch > 1 && 2 * sequenceBytes <= budgetBytes))
    }

    /// Columns of a piece for rows of up to `length` keys: a warp has 16 lanes a thread of the longest.
    static func lanes(_ length: Int) -> Int {
        var lanes = 16
        while lanes < length && lanes < 512 { lanes *= 2 }
        return lanes
    }

    static func pitch(_ keys: Int, _ lanes: Int) -> Int { (keys + lanes - 1) / lanes * lanes }

    var unitCount: Int { shape.batch * shape.kvHeads }

    /// How many units lie one step apart in every array: all, or those of a sequence. No block crosses a border
    /// of these.
    private var unitsInStep: Int {
        packs || shape.kvHeads == 1 || shape.batch == 1 ? unitCount : shape.kvHeads
    }

    /// All blocks, the last queries first: those see every key, so that they set the gradients of keys and
    /// values to which the others add.
    var blocks: [Block] {
        stride(from: 0, to: shape.length, by: queries).reversed().flatMap { first in
            let range = first..<min(first + queries, shape.length)
            let bytes = 4 * range.count * shape.group * Self.pitch(keys(range).count, lanes)
            let most = max(1, min(unitsInStep, budgetBytes / bytes))
            return steps(most).map { units in
                let keys = keys(range, of: units)
                return Block(
                    units: units, queries: range, keys: keys, pitch: Self.pitch(keys.count, lanes),
                    group: shape.group)
            }
        }
    }

    /// Whether some queries do not see all keys before them, so that no block sees all keys.
    var isBounded: Bool { shape.window != nil || documents != nil }

    /// The keys that queries see, wherever documents begin.
    private func keys(_ queries: Range<Int>) -> Range<Int> {
        max(0, queries.lowerBound + 1 - (shape.window ?? shape.length))..<queries.upperBound
    }

    /// The keys that queries of some units see.
    private func keys(_ queries: Range<Int>, of units: Range<Int>) -> Range<Int> {
        let most = keys(queries)
        guard let documents else { return most }
        let rows = (units.lowerBound / shape.kvHeads)...((units.upperBound - 1) / shape.kvHeads)
        return max(most.lowerBound, documents.first(ofRows: rows, at: queries.lowerBound))..<most.upperBound
    }

    /// What the rows of a block see and go through.
    func view(of block: Block) -> AttentionView {
        AttentionView(
            scale: shape.scale, softcap: shape.rule.softcap,
            firstQuery: block.queries.lowerBound - block.keys.lowerBound, window: shape.window,
            documents: documents.map {
                .init(
                    firsts: $0.firsts, firstKey: block.keys.lowerBound, firstUnit: block.units.lowerBound,
                    unitsPerRow: shape.kvHeads)
            }, lanes: lanes)
    }

    /// Units in runs of at most `most`, none across a border of `unitsInStep`, all of about one size.
    private func steps(_ most: Int) -> [Range<Int>] {
        let parts = (unitsInStep + most - 1) / most
        return stride(from: 0, to: unitCount, by: unitsInStep).flatMap { start in
            (0..<parts).map { part in
                (start + part * unitsInStep / parts)..<(start + (part + 1) * unitsInStep / parts)
            }
        }
    }
}

extension AttentionPlan {
    /// Bytes that a pass takes in addition to operands and results.
    func workspaceBytes(_ dtype: DType, isBackward: Bool) -> Int {
        let blocks = blocks
        let elements = blocks.lazy.map(\.elements).max() ?? 0, rows = blocks.lazy.map(\.rows).max() ?? 0
        let queries = shape.batch * shape.length * shape.heads, keys = unitCount * shape.length
        let size = dtype.byteCount, scores = elements * (4 + size)
        if isBackward {
            // q, k, v, dy and dq side by side; delta; sums of dk and dv.
            let copies = packs ? (3 * queries + 2 * keys) * shape.headSize * size : 0
            return 2 * scores + copies + 4 * queries + 2 * 4 * keys * shape.headSize
        }
        let copies = packs ? (queries + 2 * keys) * shape.headSize * size : 0
        return scores + copies + 4 * rows * (shape.headSize + 1)
    }
}

/// Storage for the scores of a block at a time.
struct AttentionWorkspace {
    private let memory: NDArray

    init(_ blocks: [AttentionPlan.Block], dtype: DType, device: Device) throws {
        memory = try NDArray(empty: [blocks.lazy.map(\.elements).max() ?? 0], dtype: dtype, device: device)
    }

    /// [rows, pitch], as kernels take it.
    func rows(_ block: AttentionPlan.Block) -> NDArray {
        memory.sliced(0, 0..<block.elements).reshaped([block.rows, block.pitch])
    }

    /// [units, rows, keys], as products take it.
    func matrices(_ block: AttentionPlan.Block) -> NDArray {
        rows(block).reshaped([block.units.count, block.rows / block.units.count, block.pitch])
            .sliced(2, 0..<block.keys.count)
    }
}
