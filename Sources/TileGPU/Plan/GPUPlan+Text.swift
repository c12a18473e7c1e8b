import Tile

// A plan as text: what `liger kernels NAME --plan` shows. Values have the numbers that `liger kernels NAME` shows.
extension GPUPlan: CustomStringConvertible {
    package var description: String {
        let parts = Self.passes.map { text($0) }
        return ([head] + parts).joined(separator: "\n")
    }

    /// What one pass has decided.
    package func text(_ pass: PlanningPass) -> String {
        let lines = pass.lines(self)
        return (["\(pass.name): \(pass.summary)"] + (lines.isEmpty ? ["nothing"] : lines).map { "    " + $0 })
            .joined(separator: "\n")
    }

    private var head: String {
        let blocks = schedule.blocks > 1 ? " in \(schedule.blocks) blocks" : ""
        return "plan of \(function.name): \(schedule.threads) threads a program\(blocks), "
            + "\(schedule.programsPerBlock) programs a block, vectors of \(schedule.vector) lanes"
    }

    // MARK: Lengths, phases, folds

    var lengthLines: [String] {
        lengths.map { length in
            let size = length.count.map { "%\($0.number) <= \(length.capacity)" } ?? "\(length.capacity)"
            let part =
                length.isResident
                ? "\(length.vectors) vectors a thread, in registers"
                : "\(length.chunks) chunks of \(length.chunkVectors) vectors a thread"
            let isGuarded =
                length.isResident
                ? length.needsGuard(vector: length.vectors - 1) : length.chunksNeedGuards
            let ends = length.start == nil ? "at the end" : "at both ends, from a multiple of 16 bytes on"
            return "\(size) lanes: \(part)"
                + (length.isRagged ? ", single lanes \(ends)" : isGuarded ? ", guarded at the end" : "")
        }
    }

    var phaseLines: [String] { lines(phases.nodes, indent: "") }

    private func lines(_ nodes: [PlanNode], indent: String) -> [String] {
        nodes.flatMap { node -> [String] in
            switch node {
            case .section(let operations):
                return [indent + "scalars"] + operations.map { indent + "    " + function.line($0) }
            case .phase(let number): return lines(phases.phases[number], indent: indent)
            case .loop(let loop):
                return [indent + "loop \(loop.number) over %\(loop.counter.number)"]
                    + lines(loop.body, indent: indent + "    ")
            case .conditional(let conditional):
                return ["if", "else"].enumerated().flatMap { i, word in
                    [indent + "\(word) \(conditional.number)"]
                        + lines(conditional.branches[i], indent: indent + "    ")
                }
            }
        }
    }

    private func lines(_ phase: PlannedPhase, indent: String) -> [String] {
        let own = Set(phase.own.flatMap(\.results))
        let title = "phase \(phase.number) over \(lengths[phase.extent.number].capacity) lanes"
        return [indent + title + (phase.isBackward ? ", from the last chunk to the first" : "")]
            + phase.operations.map { operation in
                let isRepeated = operation.results.first.map { !own.contains($0) } ?? false
                return indent + "    " + function.line(operation) + (isRepeated ? "  (rematerialised)" : "")
            }
    }

    var foldLines: [String] {
        phases.phases.compactMap { phase in
            guard let fold = folds[phase.number] else { return nil }
            let names = names(phase.reductions.map { $0.results[0] })
            let warps = fold.warps > 1 ? ", then \(fold.warps) warps through shared memory" : ""
            return "phase \(phase.number), \(names): lanes of a thread, then \(fold.shuffleWidth) threads"
                + " by shuffles" + warps
        }
    }

    // MARK: Memory

    var memoryLines: [String] {
        let regions = sharedRegions.sorted { $0.range.lowerBound < $1.range.lowerBound }
            .map { "shared \($0.range.lowerBound) ..< \($0.range.upperBound): \($0.holds)" }
        let local = keptTiles(.local).sorted { $0.key < $1.key }
            .map { "local from \($0.key): tile \(names($0.value))" }
        return regions + local
            + [
                "\(memory.sharedBytes) bytes of shared memory a block, "
                    + "\(memory.localBytes) of local memory a thread"
            ]
    }

    private var sharedRegions: [(range: Range<Int>, holds: String)] {
        let rings = memory.rings.map { loop, ring in
            let rows = names(ring.rows.map { $0.load.results[0] })
            return (
                ring.offset..<ring.end,
                "loop \(loop)'s rows \(rows), \(ring.slots) slots of \(ring.slotBytes)"
            )
        }
        let rows = memory.prefetched.map { tile, offset in
            (offset..<offset + prefetchedBytes(tile), "row %\(tile.number), prefetched")
        }
        let tiles = keptTiles(.shared).map { offset, tiles in
            (offset..<offset + keptBytes(tiles[0]), "tile \(names(tiles))")
        }
        let exchanges = memory.exchanges.map { phase, exchange in
            let bytes = exchange.bytes * (exchange.alternates ? 2 : 1)
            let how = exchange.alternates ? ", two places that alternate" : ""
            return (exchange.offset..<exchange.offset + bytes, "exchange of phase \(phase)" + how)
        }
        return rings + rows + tiles + exchanges
    }

    /// Tiles by their offset: a loop's result is where the value is that it carries.
    private func keptTiles(_ space: Space) -> [Int: [ValueID]] {
        let kept = memory.kept.filter { $0.value.space == space }
        return Dictionary(grouping: kept.keys.sorted()) { kept[$0]?.offset ?? 0 }
    }

    private func names(_ values: [ValueID]) -> String {
        values.map { "%\($0.number)" }.joined(separator: ", ")
    }

    private func prefetchedBytes(_ tile: ValueID) -> Int {
        for (phase, loads) in memory.prefetches {
            guard let load = loads.first(where: { $0.results[0] == tile }), let view = load.view else {
                continue
            }
            return memory.prefetchedLanes[phase, default: 0] / schedule.blocks * facts.bytes(view)
        }
        return 0
    }

    private func keptBytes(_ tile: ValueID) -> Int {
        guard let extent = function.type(tile).extent else { return 0 }
        let length = lengths[extent.number]
        return length.chunks * length.chunkLanes * 4 / schedule.threads * schedule.blockThreads
    }

    // MARK: Accesses, tiles, clusters

    var accessLines: [String] {
        phases.phases.flatMap { phase in
            zip(phase.operations, accesses[phase.number]).compactMap { operation, access in
                access.map { "phase \(phase.number): \(function.line(operation)): \(text($0, operation))" }
            }
        }
    }

    private func text(_ access: Access, _ operation: Operation) -> String {
        let reuse =
            switch access.reuse {
            case .unknown: ""
            case .again: ", kept in the cache"
            case .never: ", dropped from the cache"
            }
        let next = access.nextRow == nil ? "" : ", the next row asked for"
        return text(access.method, bytes: operation.view.map(facts.bytes) ?? 0) + reuse + next
    }

    private func text(_ method: Access.Method, bytes: Int) -> String {
        switch method {
        case .contiguous(let width): "\(width * bytes) bytes an access"
        case .exchanged: "16 bytes an access, once four threads have exchanged lanes"
        case .strided: "an access for each lane, strided"
        case .packed(let width): "\(width * bytes) bytes an access, two lanes a register"
        case .columns(let loads):
            "an access for each lane of \(names(loads)) together"
        case .gathered: "an access for each lane, gathered"
        case .staged(let loop, let offset): "from loop \(loop)'s slot + \(offset)"
        case .prefetched(let offset, let width):
            "prefetched to shared \(offset), beyond it \(width * bytes) bytes an access"
        }
    }

    var tileLines: [String] {
        homes.sorted { $0.key < $1.key }.map { tile, home in "%\(tile.number): \(text(home, tile))" }
    }

    private func text(_ home: TileHome, _ tile: ValueID) -> String {
        switch home {
        case .phase: "in its phase only"
        case .registers: "in registers"
        case .packed: "in registers, two lanes in each"
        case .staged(_, let loop, _): "in loop \(loop)'s slot, read again by each phase"
        case .kept: "in \(memory.kept[tile]?.space.rawValue ?? "no") memory"
        case .rematerialised: "rematerialised by each phase"
        }
    }

    var productLines: [String] {
        guard let product else { return [] }
        let tiling = product.tiling
        return [
            "tiles of \(tiling.rows) rows by \(product.columns) columns"
                + (product.contractions.count > 1 ? " of \(product.contractions.count) products" : "")
                + ", \(tiling.groups) groups of "
                + "\(ProductTiling.groupThreads) threads multiply, one thread has tiles copied",
            "shared memory: \(tiling.stages) stages of \(product.stageBytes) bytes, barriers at "
                + "\(product.barriers)",
            "\(tiling.rowTilesTogether) row tiles before the next column block, clusters of \(tiling.cluster)",
        ]
    }

    var clusterLines: [String] {
        if !cluster.isCluster { return [] }
        return cluster.waits.map { point in
            switch point {
            case .exchange(let phase): "waits at the exchange of phase \(phase)"
            case .loop(let number): "waits before loop \(number)"
            case .branch(let branch, let number):
                "waits at the end of branch \(branch) of conditional \(number)"
            case .end: "waits at the end"
            }
        }.sorted()
    }
}
