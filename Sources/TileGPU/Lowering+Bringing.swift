import Tile

// A row longer than registers that several phases read is brought into shared memory at once, as it lies, so that its
// bytes are on their way together and none is read from far away twice. Of a row longer than that memory its
// beginning is brought; the rest is read by each sweep, the first of which meets it while the beginning is on its way.
//
// A thread reads only what it copied itself, so no barrier is needed.
extension Lowering {
    /// Brings the rows that a phase loads and later ones load again, while there is room.
    func bringRows(_ phase: Phase) {
        guard schedule.broughtChunks > 0 else { return }
        var written: Set<Int> = []
        for operation in phase.operations {
            if operation.isStore, let view = operation.view { written.insert(view) }
            guard case .load(let view, let axis?) = operation.kind, !written.contains(view),
                brought[operation.results[0]] == nil, isUsedLater(operation),
                let address = copied(operation, view, axis)
            else { continue }
            bring(operation, view, phase.extent, to: address)
            broughtExtents.insert(phase.extent)
            awaitsCopies = true
        }
        if awaitsCopies { out.emit(.copyCommit, []) }
    }

    /// Waits for what has been brought, once.
    func waitForCopies() {
        if awaitsCopies { out.emit(.copyWait(pending: 0), []) }
        awaitsCopies = false
    }

    /// The lanes of a length that have been brought of some row.
    func broughtLanes(_ extent: ExtentID) -> Int {
        broughtExtents.contains(extent) ? lanesToBring(extent) : 0
    }

    /// The lanes of a length that its brought rows have in shared memory: whole chunks, perhaps beyond its end.
    private func lanesToBring(_ extent: ExtentID) -> Int {
        let chunkLanes = schedule.threads * schedule.vector * schedule.chunkVectors
        let all = (function.extents[extent.number].capacity + chunkLanes - 1) / chunkLanes
        return Swift.min(schedule.broughtChunks, all) * chunkLanes
    }

    /// Room for a row's lanes in whole pieces of 16 bytes; nil where they do not come so, or do not fit.
    private func copied(_ operation: Operation, _ view: Int, _ axis: Int) -> Int? {
        let bytes = function.views[view].dtype.byteCount
        guard depth == 0, axis == function.views[view].rank - 1, layouts[view].hasUnitStride,
            layouts[view].isAligned, schedule.vector * bytes % 16 == 0,
            startIsAligned(operation, axis, bytes), let extent = function.type(operation.results[0]).extent
        else { return nil }
        let base = (sharedBytes + 15) & ~15
        let end = base + lanesToBring(extent) / schedule.blocks * bytes
        if end > mostRowBytes { return nil }
        sharedBytes = end
        return base
    }

    private func bring(_ operation: Operation, _ view: Int, _ extent: ExtentID, to base: Int) {
        guard let row = addresses[operation.results[0]] else { return }
        let bytes = function.views[view].dtype.byteCount
        let target = stagedAddress(bytes, base)
        brought[operation.results[0]] = target
        let source = out.b64(.add, .register(row), .register(ownBytes(firstLane, bytes)))
        let span = schedule.threads * schedule.vector
        for vector in 0..<Swift.min(lanes(extent) / schedule.vector, lanesToBring(extent) / span) {
            let guarding = guardOf(extent, start: nil, ahead: vector * span)
            copyVector(vector, bytes, from: source, to: target, guardedBy: guarding)
        }
    }

    /// The chunk's lanes of a row that has been brought.
    func readBrought(_ operation: Operation, _ view: Int, _ chunk: Chunk) -> [Register]? {
        guard chunk.isBrought, var address = brought[operation.results[0]] else { return nil }
        if let start = chunk.start {
            // A chunk starts at a multiple of all threads' vectors, of which this block has its share.
            let wide = out.make(.b64, .convert(from: .u32, to: .s64), [.register(start)])
            let own =
                schedule.blocks == 1 ? wide : out.b64(.divide, .register(wide), .integer(schedule.blocks))
            let bytes = out.b64(.multiply, .register(own), .integer(function.views[view].dtype.byteCount))
            address = out.b64(.add, .register(address), .register(bytes))
        }
        return readCopied(operation, view, chunk, at: address)
    }
}
