import Tile

// A row longer than registers that several phases read is brought into shared memory at once, as it lies, so that all
// of its bytes are on their way together and none is read from far away twice.
//
// A thread reads only what it copied itself, so no barrier is needed.
extension Lowering {
    /// Brings the rows that a phase loads and later ones load again, while there is room.
    func bringRows(_ phase: Phase) {
        guard schedule.bringsRows else { return }
        var written: Set<Int> = []
        var begun = false
        for operation in phase.operations {
            if operation.isStore, let view = operation.view { written.insert(view) }
            guard case .load(let view, let axis?) = operation.kind, !written.contains(view),
                brought[operation.results[0]] == nil, isUsedLater(operation),
                let address = copied(operation, view, axis)
            else { continue }
            bring(operation, view, phase.extent, to: address)
            begun = true
        }
        if begun {
            out.emit(.copyCommit, [])
            out.emit(.copyWait(pending: 0), [])
        }
    }

    /// Room for a row's lanes in whole pieces of 16 bytes; nil where they do not come so, or do not fit.
    private func copied(_ operation: Operation, _ view: Int, _ axis: Int) -> Int? {
        let bytes = function.views[view].dtype.byteCount
        guard depth == 0, axis == function.views[view].rank - 1, layouts[view].hasUnitStride,
            layouts[view].isAligned, schedule.vector * bytes % 16 == 0,
            startIsAligned(operation, axis, bytes), let extent = function.type(operation.results[0]).extent
        else { return nil }
        let base = (sharedBytes + 15) & ~15
        let end = base + vectorsInTurns(extent) * schedule.vector * schedule.blockThreads * bytes
        if end > mostRowBytes { return nil }
        sharedBytes = end
        return base
    }

    /// Vectors that a thread owns of a row in whole chunks.
    private func vectorsInTurns(_ extent: ExtentID) -> Int {
        let vectors = lanes(extent) / schedule.vector
        return (vectors + schedule.chunkVectors - 1) / schedule.chunkVectors * schedule.chunkVectors
    }

    private func bring(_ operation: Operation, _ view: Int, _ extent: ExtentID, to base: Int) {
        guard let row = addresses[operation.results[0]] else { return }
        let bytes = function.views[view].dtype.byteCount
        let target = stagedAddress(bytes, base)
        brought[operation.results[0]] = target
        let source = out.b64(.add, .register(row), .register(ownBytes(firstLane, bytes)))
        for vector in 0..<(lanes(extent) / schedule.vector) {
            let guarding = guardOf(extent, start: nil, ahead: vector * schedule.threads * schedule.vector)
            copyVector(vector, bytes, from: source, to: target, guardedBy: guarding)
        }
    }

    /// The chunk's lanes of a row that has been brought.
    func readBrought(_ operation: Operation, _ view: Int, _ chunk: Chunk) -> [Register]? {
        guard var address = brought[operation.results[0]] else { return nil }
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
