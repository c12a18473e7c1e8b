import Tile

// What the threads of a product keep in registers from tile to tile.

/// A thread's place among those that multiply.
struct RowThread {
    /// Among the threads of its group, and of its row.
    let inGroup: Register
    let inRow: Register
    /// The first of its two rows in the tile; where its group's rows start in a stage.
    let row: Register
    let groupBytes: Register

    init(_ product: ProductPlan, _ threadInBlock: Register, _ out: inout ThreadBuilder) {
        let (group, warp) = (ProductTiling.groupThreads, GPULimits.nvidiaWarp)
        let thread = out.b32(.subtract, .s32, .register(threadInBlock), .integer(group))
        inGroup = out.b32(.and, .u32, .register(thread), .integer(group - 1))
        inRow = out.b32(.and, .u32, .register(thread), .integer(3))
        let number = out.b32(.shiftRight, .u32, .register(thread), .integer(group.trailingZeroBitCount))
        let groupRow = out.b32(.multiply, .s32, .register(number), .integer(ProductTiling.groupRows))
        let inWarp = out.b32(.and, .u32, .register(thread), .integer(warp - 1))
        let quad = out.b32(.shiftRight, .u32, .register(inWarp), .integer(2))
        let warpNumber = out.b32(
            .shiftRight, .u32, .register(inGroup), .integer(warp.trailingZeroBitCount))
        let warpRow = out.b32(.multiply, .s32, .register(warpNumber), .integer(16))
        let inGroupRow = out.b32(.add, .s32, .register(warpRow), .register(quad))
        row = out.b32(.add, .s32, .register(groupRow), .register(inGroupRow))
        let wide = out.make(.b64, .convert(from: .u32, to: .s64), [.register(groupRow)])
        groupBytes = out.b64(.multiply, .register(wide), .integer(ProductTiling.depth * 2))
    }
}

/// The stage of the ring that is at hand, and how often the ring has been gone around.
struct StageRegisters {
    private let product: ProductPlan
    private let stage: Register
    private let parity: Register

    init(_ product: ProductPlan, _ out: inout ThreadBuilder) {
        self.product = product
        (stage, parity) = (out.register(.b32), out.register(.b32))
        out.move(.integer(0), to: stage)
        out.move(.integer(0), to: parity)
    }

    /// Where the stage is.
    func place(_ out: inout ThreadBuilder) -> Register { scaled(by: product.stageBytes, plus: 0, &out) }

    /// The barrier that tells that it is filled; that it has been read.
    func filled(_ out: inout ThreadBuilder) -> Register { scaled(by: 8, plus: product.barriers, &out) }
    func read(_ out: inout ThreadBuilder) -> Register {
        scaled(by: 8, plus: product.barriers + product.toRead, &out)
    }

    private func scaled(by bytes: Int, plus offset: Int, _ out: inout ThreadBuilder) -> Register {
        let wide = out.make(.b64, .convert(from: .u32, to: .s64), [.register(stage)])
        let scaled = out.b64(.multiply, .register(wide), .integer(bytes))
        return out.b64(.add, .register(scaled), .integer(offset))
    }

    func awaitFilled(_ out: inout ThreadBuilder) {
        out.emit(.product(.await), [.register(filled(&out)), .register(parity)])
    }

    /// A phase before the first counts as ended.
    func awaitRead(_ out: inout ThreadBuilder) {
        let before = out.b32(.xor, .u32, .register(parity), .integer(1))
        out.emit(.product(.await), [.register(read(&out)), .register(before)])
    }

    func advance(_ out: inout ThreadBuilder) {
        let next = out.b32(.add, .s32, .register(stage), .integer(1))
        let wraps = out.compare(.equal, .s32, .register(next), .integer(product.tiling.stages))
        let flips = out.select(.b32, wraps, .integer(1), .integer(0))
        out.write(parity, .arithmetic(.xor, .u32), [.register(parity), .register(flips)])
        out.write(stage, .select, [.register(wraps), .integer(0), .register(next)])
    }
}

/// The tiles of the result, in the order in which a block works on them: all rows of `rowTilesTogether` row tiles for a
/// column block, then the next column block.
struct TileRegisters {
    struct Tile {
        let row: Register
        let column: Register
    }

    /// Rows and columns of the result, elements of a line (b64, b32, b64).
    let rows: Register
    let columns: Register
    let depth: Register
    /// This block's number in its cluster, that of the cluster, and how many there are.
    let rank: Register
    private let cluster: Register
    private let clusters: Register
    private let rowTiles: Register
    private let columnTiles: Register
    private let product: ProductPlan

    init(_ product: ProductPlan, _ emitter: ThreadEmitter) {
        self.product = product
        let (tiling, contraction, views) = (product.tiling, product.contractions[0], emitter.views)
        rows = emitter.programCount()
        depth = views[contraction.a].sizes[contraction.contractedA]
        columns = emitter.out.make(
            .b32, .convert(from: .s64, to: .s32),
            [.register(views[product.blocks.view].sizes[product.blocks.dimension])])
        let block = emitter.out.make(.b32, .blockIndex, [])
        let blocks = emitter.out.make(.b32, .product(.gridBlocks), [])
        let shift = Source.integer(tiling.cluster.trailingZeroBitCount)
        rank = emitter.out.b32(.and, .u32, .register(block), .integer(tiling.cluster - 1))
        cluster = emitter.out.b32(.shiftRight, .u32, .register(block), shift)
        clusters = emitter.out.b32(.shiftRight, .u32, .register(blocks), shift)
        let narrowRows = emitter.out.make(.b32, .convert(from: .s64, to: .s32), [.register(rows)])
        func pieces(_ count: Register, _ size: Int) -> Register {
            let more = emitter.out.b32(.add, .s32, .register(count), .integer(size - 1))
            return emitter.out.b32(.divide, .u32, .register(more), .integer(size))
        }
        // What a cluster does at a time counts as one row tile.
        rowTiles = pieces(narrowRows, tiling.rows * tiling.cluster)
        columnTiles = pieces(columns, product.width)
    }

    func forEach(_ emitter: ThreadEmitter, _ body: (Tile) throws -> Void) rethrows {
        let count = emitter.out.b32(.multiply, .s32, .register(rowTiles), .register(columnTiles))
        func wide(_ register: Register) -> Register {
            emitter.out.make(.b64, .convert(from: .u32, to: .s64), [.register(register)])
        }
        let (from, to, step) = (wide(cluster), wide(count), wide(clusters))
        let counter = emitter.out.register(.b64)
        let statements = try emitter.nested { try body(tile(counter, emitter)) }
        emitter.out.append(
            .loop(
                counter: counter, from: .register(from), to: .register(to), step: .register(step),
                body: statements))
    }

    private func tile(_ counter: Register, _ emitter: ThreadEmitter) -> Tile {
        func b32(_ operation: Arithmetic, _ a: Register, _ b: Register) -> Register {
            emitter.out.b32(operation, .u32, .register(a), .register(b))
        }
        let number = emitter.out.make(.b32, .convert(from: .s64, to: .s32), [.register(counter)])
        let together = max(1, product.tiling.rowTilesTogether / product.tiling.cluster)
        let band = emitter.out.b32(.multiply, .s32, .register(columnTiles), .integer(together))
        let bandNumber = b32(.divide, number, band)
        let firstRow = emitter.out.b32(.multiply, .s32, .register(bandNumber), .integer(together))
        let left = b32(.subtract, rowTiles, firstRow)
        let height = emitter.out.b32(.minimum, .u32, .register(left), .integer(together))
        let within = b32(.subtract, number, b32(.multiply, bandNumber, band))
        let column = b32(.divide, within, height)
        let rowInBand = b32(.subtract, within, b32(.multiply, column, height))
        let clusterRow = b32(.add, firstRow, rowInBand)
        let scaled = emitter.out.b32(
            .multiply, .s32, .register(clusterRow), .integer(product.tiling.cluster))
        return Tile(row: b32(.add, scaled, rank), column: column)
    }
}
