import Tile

// A kernel that is a product with an epilogue. One thread of a block has tiles of the factors copied into a ring of
// stages in shared memory; groups of 128 threads multiply from there, then run the kernel's body for the rows of their
// tile. Both go through the same tiles in the same order, and wait for each other at barriers only.
extension ThreadEmitter {
    func emit(_ product: ProductPlan) throws {
        place.threadInBlock = out.make(.b32, .threadIndex, [])
        views = function.views.enumerated().map { ViewRegisters($0, $1.rank, parameters, &out) }
        let tiles = TileRegisters(product, self)
        initBarriers(product)
        let copies = nested { emitCopies(product, tiles) }
        let work = try nested { try emitWork(product, tiles) }
        let group = ProductTiling.groupThreads
        // 64 K registers a block: two groups that multiply hold half a tile each, with what is done to it.
        let isShort = product.tiling.groups > 1
        out.append(
            .roles([
                ThreadRole(
                    name: "copies", threads: 0..<group, registers: isShort ? 40 : nil,
                    takesRegisters: false, isOneThread: true, body: copies),
                ThreadRole(
                    name: "products", threads: group..<product.tiling.blockThreads,
                    registers: isShort ? 232 : nil, takesRegisters: true, isOneThread: false, body: work),
            ]))
        meetCluster(product)
    }

    // MARK: Barriers

    private func initBarriers(_ product: ProductPlan) {
        let isFirst = out.compare(.equal, .s32, .register(place.threadInBlock), .integer(0))
        for stage in 0..<product.tiling.stages {
            let filled = product.barriers + 8 * stage
            out.emit(.product(.initBarrier(arrivals: 1)), [.integer(filled)], guardedBy: isFirst)
            out.emit(
                .product(.initBarrier(arrivals: product.tiling.groups * product.tiling.cluster)),
                [.integer(filled + product.toRead)], guardedBy: isFirst)
        }
        out.emit(.product(.publishBarriers), [], guardedBy: isFirst)
        if product.tiling.cluster > 1 { meetCluster(product) } else { out.emit(.barrier, []) }
    }

    /// No block of a cluster touches another's memory before that one runs, or ends before the others are done with it.
    private func meetCluster(_ product: ProductPlan) {
        if product.tiling.cluster == 1 { return }
        out.emit(.clusterArrive, [])
        out.emit(.clusterWait, [])
    }

    // MARK: Copies

    private func emitCopies(_ product: ProductPlan, _ tiles: TileRegisters) {
        let ring = StageRegisters(product, &out)
        tiles.forEach(self) { tile in
            let rowStart = out.b32(.multiply, .s32, .register(tile.row), .integer(product.tiling.rows))
            let columnStart = out.b32(.multiply, .s32, .register(tile.column), .integer(product.columns))
            let ownColumns = out.b32(
                .multiply, .s32, .register(tiles.rank), .integer(product.copiedRows))
            let copied = out.b32(.add, .s32, .register(columnStart), .register(ownColumns))
            let ownBytes = out.b32(
                .multiply, .s32, .register(tiles.rank),
                .integer(product.copiedRows * ProductTiling.depth * 2))
            forEachStep(tiles) { k in
                // Read by everybody: in the ring's first round nothing is there to be read.
                ring.awaitRead(&out)
                let filled = ring.filled(&out)
                out.emit(.product(.expect(bytes: product.stageBytes)), [.register(filled)])
                let (stage, depth) = (ring.place(&out), narrow(k))
                out.emit(
                    .product(.copyTile(map: 0, blocks: 1)),
                    [.register(stage), .register(filled), .register(depth), .register(rowStart)])
                let wide = out.make(.b64, .convert(from: .s32, to: .s64), [.register(ownBytes)])
                let b = out.b64(
                    .add, .register(out.b64(.add, .register(stage), .integer(product.bytesOfA))),
                    .register(wide))
                out.emit(
                    .product(.copyTile(map: 1, blocks: product.tiling.cluster)),
                    [.register(b), .register(filled), .register(depth), .register(copied)])
                ring.advance(&out)
            }
        }
    }

    private func narrow(_ register: Register) -> Register {
        out.make(.b32, .convert(from: .s64, to: .s32), [.register(register)])
    }

    /// A loop over the contracted dimension, a stage's columns at a time.
    private func forEachStep(_ tiles: TileRegisters, _ body: (Register) -> Void) {
        let counter = out.register(.b64)
        let statements = nested { body(counter) }
        out.append(
            .loop(
                counter: counter, from: .integer(0), to: .register(tiles.depth),
                step: .integer(ProductTiling.depth), body: statements))
    }

    // MARK: Products

    private func emitWork(_ product: ProductPlan, _ tiles: TileRegisters) throws {
        let thread = RowThread(product, place.threadInBlock, &out)
        let lanes = product.columns / 2
        let sums = (0..<lanes).map { _ in out.register(.f32) }
        let ring = StageRegisters(product, &out)
        try tiles.forEach(self) { tile in
            for sum in sums { out.move(.float(0), to: sum) }
            var previous: Register?
            forEachStep(tiles) { k in
                ring.awaitFilled(&out)
                multiply(product, ring, thread, sums)
                // The products before these are done, so their stage may be filled again.
                out.emit(.product(.wait(pending: 1)), [])
                let hasPrevious = out.compare(.greater, .s64, .register(k), .integer(0))
                let place = previous ?? out.register(.b64)
                previous = place
                arrive(at: place, product, thread, where: hasPrevious)
                out.move(.register(ring.read(&out)), to: place)
                ring.advance(&out)
            }
            out.emit(.product(.wait(pending: 0)), [])
            if let previous {
                let hasSteps = out.compare(.greater, .s64, .register(tiles.depth), .integer(0))
                arrive(at: previous, product, thread, where: hasSteps)
            }
            out.append(.programs(try nested { try emitRows(product, tiles, tile, thread, sums) }))
        }
    }

    private func multiply(
        _ product: ProductPlan, _ ring: StageRegisters, _ thread: RowThread, _ sums: [Register]
    ) {
        let stage = ring.place(&out)
        let ownRows = out.b64(.add, .register(stage), .register(thread.groupBytes))
        let a = out.make(.b64, .product(.describe), [.register(ownRows)])
        let factor = out.b64(.add, .register(stage), .integer(product.bytesOfA))
        let b = out.make(.b64, .product(.describe), [.register(factor)])
        out.emit(.product(.fence), [])
        for step in 0..<(ProductTiling.depth / ProductTiling.step) {
            // A description counts 16 bytes.
            let ahead = Source.integer(step * ProductTiling.step * 2 / 16)
            let (x, y) = (out.b64(.add, .register(a), ahead), out.b64(.add, .register(b), ahead))
            out.append(
                .instruction(
                    Instruction(
                        kind: .product(.multiply(columns: product.columns, product.dtype)), results: sums,
                        sources: [.register(x), .register(y)])))
        }
        out.emit(.product(.commit), [])
    }

    /// One thread of a group arrives at the barriers of each block of the cluster.
    private func arrive(
        at barrier: Register, _ product: ProductPlan, _ thread: RowThread, where condition: Register
    ) {
        let isOne = out.compare(
            .less, .s32, .register(thread.inGroup), .integer(product.tiling.cluster))
        let arrives = out.make(
            .predicate, .arithmetic(.and, .predicate), [.register(condition), .register(isOne)])
        out.emit(
            .product(.arrive), [.register(barrier), .register(thread.inGroup)], guardedBy: arrives)
    }

    // MARK: Rows

    /// The kernel's body for the two rows of a tile that a thread has lanes of, one after the other: of four
    /// accumulators, two are of one row, two of the row eight below.
    private func emitRows(
        _ product: ProductPlan, _ tiles: TileRegisters, _ tile: TileRegisters.Tile, _ thread: RowThread,
        _ sums: [Register]
    ) throws {
        place.thread = thread.inRow
        place.firstLane = out.b32(.multiply, .s32, .register(thread.inRow), .integer(schedule.vector))
        columnBlock = out.make(.b64, .convert(from: .u32, to: .s64), [.register(tile.column)])
        let isPartial = isPartial(product, tiles, tile)
        let start = out.b32(.multiply, .s32, .register(tile.row), .integer(product.tiling.rows))
        let first = out.b32(.add, .s32, .register(start), .register(thread.row))
        let wideFirst = out.make(.b64, .convert(from: .u32, to: .s64), [.register(first)])
        func lanes(_ row: Int) -> [Register] {
            stride(from: 2 * row, to: sums.count, by: 4).flatMap { [sums[$0], sums[$0 + 1]] }
        }
        let below = out.register(.b64)
        let statements = try nested {
            place.program = out.b64(.add, .register(wideFirst), .register(below))
            rowLanes = lanes(0)
            let isInside = out.compare(.less, .s64, .register(place.program), .register(tiles.rows))
            let body = try nested { try emitRow(isPartial) }
            out.append(.conditional(isInside, then: body, otherwise: []))
            for (next, lane) in zip(lanes(1), lanes(0)) { out.move(.register(next), to: lane) }
        }
        out.append(
            .loop(
                counter: below, from: .integer(0), to: .integer(16), step: .integer(8), body: statements))
    }

    /// Only the last block of columns may have fewer than the others, and guards each.
    private func emitRow(_ isPartial: Register) throws {
        guardsLanes = false
        if plan.lengths.allSatisfy({ $0.count == nil }) { return try emit(plan.phases.nodes) }
        let ways = try [true, false].map { guards in
            try nested {
                guardsLanes = guards
                try emit(plan.phases.nodes)
            }
        }
        out.append(.conditional(isPartial, then: ways[0], otherwise: ways[1]))
    }

    private func isPartial(
        _ product: ProductPlan, _ tiles: TileRegisters, _ tile: TileRegisters.Tile
    ) -> Register {
        let next = out.b32(.add, .s32, .register(tile.column), .integer(1))
        let end = out.b32(.multiply, .s32, .register(next), .integer(product.columns))
        return out.compare(.greater, .s32, .register(end), .register(tiles.columns))
    }
}

/// A thread's place among those that multiply.
private struct RowThread {
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
private struct StageRegisters {
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
private struct TileRegisters {
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
        let (tiling, contraction, views) = (product.tiling, product.contraction, emitter.views)
        rows = emitter.out.parameter(.b64, emitter.parameters.programs)
        depth = views[contraction.a].sizes[contraction.contractedA]
        columns = emitter.out.make(
            .b32, .convert(from: .s64, to: .s32),
            [.register(views[contraction.b].sizes[1 - contraction.contractedB])])
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
        columnTiles = pieces(columns, product.columns)
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
