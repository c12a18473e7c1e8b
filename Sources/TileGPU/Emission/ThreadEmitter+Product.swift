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
        let copies = try nested { try emitCopies(product, tiles) }
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

    private func emitCopies(_ product: ProductPlan, _ tiles: TileRegisters) throws {
        let ring = StageRegisters(product, &out)
        try tiles.forEach(self) { tile in
            let lines = try lines(product, tiles, tile)
            let ahead = out.b32(.multiply, .s32, .register(tiles.rank), .integer(product.copiedRows))
            let ownBytes = out.make(
                .b64, .convert(from: .s32, to: .s64),
                [
                    .register(
                        out.b32(.multiply, .s32, .register(ahead), .integer(ProductTiling.depth * 2)))
                ])
            let starts = lines.b.map { out.b32(.add, .s32, .register($0), .register(ahead)) }
            forEachStep(upTo: lines.count) { k in
                // Read by everybody: in the ring's first round nothing is there to be read.
                ring.awaitRead(&out)
                let filled = ring.filled(&out)
                out.emit(.product(.expect(bytes: product.stageBytes)), [.register(filled)])
                let stage = ring.place(&out)
                copy(
                    Copied(map: 0, lines: product.tiling.rows, isColumns: product.hasColumnsOfA),
                    to: stage, filled, element: element(k, lines.startOfA), line: lines.a)
                for (number, start) in starts.enumerated() {
                    let offset = product.bytesOfA + number * product.bytesOfB
                    let part = out.b64(.add, .register(stage), .integer(offset))
                    let place = out.b64(.add, .register(part), .register(ownBytes))
                    copy(
                        Copied(
                            map: product.mapOfB(number), lines: product.width,
                            isColumns: product.hasColumnsOfB, blocks: product.tiling.cluster),
                        to: place, filled, element: element(k, lines.startsOfB[number]), line: start)
                }
                ring.advance(&out)
            }
        }
    }

    /// Where a stage's elements of a factor's lines begin.
    private func element(_ k: Register, _ start: Register?) -> Register {
        narrow(start.map { out.b64(.add, .register(k), .register($0)) } ?? k)
    }

    private struct Copied {
        let map: Int
        let lines: Int
        let isColumns: Bool
        var blocks = 1
    }

    /// A stage of a factor's tile: lines along rows by one copy, lines along columns by one for every 64.
    private func copy(
        _ copied: Copied, to place: Register, _ filled: Register, element: Register, line: Register
    ) {
        let step = InstructionKind.product(.copyTile(map: copied.map, blocks: copied.blocks))
        if !copied.isColumns {
            return out.emit(
                step, [.register(place), .register(filled), .register(element), .register(line)])
        }
        let depth = ProductTiling.depth
        for first in stride(from: 0, to: copied.lines, by: depth) {
            let column = out.b32(.add, .s32, .register(line), .integer(first))
            let next = out.b64(.add, .register(place), .integer(first * depth * 2))
            out.emit(step, [.register(next), .register(filled), .register(column), .register(element)])
        }
    }

    /// Where the lines of a tile are.
    private struct TileLines {
        /// The first line of a, and of each second factor; b32.
        let a: Register
        let b: [Register]
        /// Where the parts of lines begin, and their count or that of whole lines; b64.
        let startOfA: Register?
        let startsOfB: [Register?]
        let count: Register
    }

    /// Computes them as the kernel says, for the first row of a tile.
    private func lines(
        _ product: ProductPlan, _ tiles: TileRegisters, _ tile: TileRegisters.Tile
    ) throws -> TileLines {
        let before = (place.program, columnBlock, scalars)
        defer { (place.program, columnBlock, scalars) = before }
        let first = out.b32(.multiply, .s32, .register(tile.row), .integer(product.tiling.rows))
        place.program = out.make(.b64, .convert(from: .u32, to: .s64), [.register(first)])
        columnBlock = out.make(.b64, .convert(from: .u32, to: .s64), [.register(tile.column)])
        let positions = product.positions
        for operation in positions.operations { try emitScalar(operation) }
        func value(_ id: ValueID) throws -> Register {
            guard let register = scalars[id] else {
                throw LoweringError(description: "kernel \(function.name): %\(id.number) is no scalar")
            }
            return register
        }
        let hasParts = product.hasParts
        return TileLines(
            a: narrow(try value(positions.a)), b: try positions.b.map { narrow(try value($0)) },
            startOfA: hasParts ? try value(positions.parts[0].startOfA) : nil,
            startsOfB: hasParts
                ? try positions.parts.map { try value($0.startOfB) } : positions.b.map { _ in nil },
            count: try positions.count.map(value) ?? tiles.depth)
    }

    private func narrow(_ register: Register) -> Register {
        out.make(.b32, .convert(from: .s64, to: .s32), [.register(register)])
    }

    /// A loop over the contracted dimension, a stage's elements at a time.
    private func forEachStep(upTo count: Register, _ body: (Register) -> Void) {
        let counter = out.register(.b64)
        let statements = nested { body(counter) }
        out.append(
            .loop(
                counter: counter, from: .integer(0), to: .register(count),
                step: .integer(ProductTiling.depth), body: statements))
    }

    // MARK: Products

    private func emitWork(_ product: ProductPlan, _ tiles: TileRegisters) throws {
        let thread = RowThread(product, place.threadInBlock, &out)
        let lanes = product.columns / 2
        let sums = (0..<lanes).map { _ in out.register(.f32) }
        let ring = StageRegisters(product, &out)
        try tiles.forEach(self) { tile in
            var previous: Register?
            // Only parts have lengths of their own.
            let count = product.hasParts ? try lines(product, tiles, tile).count : tiles.depth
            forEachStep(upTo: count) { k in
                ring.awaitFilled(&out)
                let hasPrevious = out.compare(.greater, .s64, .register(k), .integer(0))
                multiply(product, ring, thread, sums, adding: hasPrevious)
                // The products before these are done, so their stage may be filled again.
                out.emit(.product(.wait(pending: 1)), [])
                let place = previous ?? out.register(.b64)
                previous = place
                arrive(at: place, product, thread, where: hasPrevious)
                out.move(.register(ring.read(&out)), to: place)
                ring.advance(&out)
            }
            out.emit(.product(.wait(pending: 0)), [])
            let hasSteps = out.compare(.greater, .s64, .register(count), .integer(0))
            if let previous { arrive(at: previous, product, thread, where: hasSteps) }
            // Behind all products: other writes of accumulators would make the tensor cores wait for each of these.
            let zeros = nested { for sum in sums { out.move(.float(0), to: sum) } }
            out.append(.conditional(hasSteps, then: [], otherwise: zeros))
            out.append(.programs(try nested { try emitRows(product, tiles, tile, thread, sums) }))
        }
    }

    /// - Parameter adds: whether there are sums that the first instruction's products are added to.
    private func multiply(
        _ product: ProductPlan, _ ring: StageRegisters, _ thread: RowThread, _ sums: [Register],
        adding adds: Register
    ) {
        let stage = ring.place(&out)
        let ownRows = out.b64(.add, .register(stage), .register(thread.groupBytes))
        let factor = out.b64(.add, .register(stage), .integer(product.bytesOfA))
        let forms: [TileForm] = [product.hasColumnsOfA, product.hasColumnsOfB].map { $0 ? .columns : .rows }
        let factors = zip([ownRows, factor], forms).map { place, form in
            out.make(.b64, .product(.describe(form)), [.register(place)])
        }
        out.emit(.product(.fence), [])
        for step in 0..<(ProductTiling.depth / ProductTiling.step) {
            let ahead = zip(factors, forms).map { factor, form in
                Source.register(
                    out.b64(.add, .register(factor), .integer(step * form.unitsOfStep)))
            }
            let kind = ProductStep.multiply(
                columns: product.columns, product.dtype, columnsOfA: product.hasColumnsOfA,
                columnsOfB: product.hasColumnsOfB)
            let sources = ahead + (step == 0 ? [.register(adds)] : [])
            out.append(.instruction(Instruction(kind: .product(kind), results: sums, sources: sources)))
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
        // What one product's row has of them.
        let own = product.width / 4
        let below = out.register(.b64)
        let statements = try nested {
            place.program = out.b64(.add, .register(wideFirst), .register(below))
            for (number, result) in product.results.enumerated() {
                rowLanes[result] = Array(lanes(0)[(number * own)...].prefix(own))
            }
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
        let end = out.b32(.multiply, .s32, .register(next), .integer(product.width))
        return out.compare(.greater, .s32, .register(end), .register(tiles.columns))
    }
}
