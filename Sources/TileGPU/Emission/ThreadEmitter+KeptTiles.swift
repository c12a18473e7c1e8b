import Tile

// Tiles too long for registers that outlive their phase: shared memory, or local memory of each thread.
extension ThreadEmitter {
    /// Finds the address of the thread's first vector of a kept tile.
    func prepareKept(_ value: ValueID) {
        guard let kept = plan.memory.kept[value] else { return }
        if kept.space == .shared {
            let wide = out.make(.b64, .convert(from: .u32, to: .s64), [.register(place.threadInBlock)])
            let scaled = out.b64(.multiply, .register(wide), .integer(schedule.vector * 4))
            addresses.kept[value] = out.b64(.add, .register(scaled), .integer(kept.offset))
        } else {
            let address = out.register(.b64)
            out.move(.integer(kept.offset), to: address)
            addresses.kept[value] = address
        }
    }

    func readKept(_ value: ValueID, _ chunk: Chunk) -> [Register] {
        guard let (space, address) = keptAddress(value, chunk) else { return [] }
        let type = function.type(value).element.register
        return (0..<chunk.vectors).flatMap { vector in
            pieces.flatMap { piece in
                let results = piece.map { _ in out.register(type) }
                let offset = keptOffset(space, vector) + 4 * piece.lowerBound
                out.append(
                    .instruction(
                        Instruction(
                            kind: .load(space, type == .f32 ? .f32 : .i32, offset: offset),
                            results: results, sources: [.register(address)])))
                return results
            }
        }
    }

    func writeKept(_ value: ValueID, _ lanes: [Register], _ chunk: Chunk) {
        guard let (space, address) = keptAddress(value, chunk) else { return }
        let type = function.type(value).element.register
        for vector in 0..<chunk.vectors {
            for piece in pieces {
                let values = piece.map { Source.register(lanes[vector * schedule.vector + $0]) }
                let offset = keptOffset(space, vector) + 4 * piece.lowerBound
                out.emit(
                    .store(space, type == .f32 ? .f32 : .i32, offset: offset), [.register(address)] + values)
            }
        }
    }

    /// A vector of 4-byte lanes in accesses of at most 16 bytes.
    private var pieces: [Range<Int>] {
        stride(from: 0, to: schedule.vector, by: 4).map { $0..<Swift.min($0 + 4, schedule.vector) }
    }

    /// Where the thread's first vector of the chunk is: between other threads' in shared memory, packed in local memory.
    private func keptAddress(_ value: ValueID, _ chunk: Chunk) -> (space: Space, address: Register)? {
        guard let kept = plan.memory.kept[value], let first = addresses.kept[value] else { return nil }
        guard let start = chunk.start else { return (kept.space, first) }
        let wide = out.make(.b64, .convert(from: .u32, to: .s64), [.register(start)])
        // A chunk starts at a multiple of all threads' vectors, of which this memory holds some threads'.
        let others = schedule.threads / holders(kept.space)
        let own = others == 1 ? wide : out.b64(.divide, .register(wide), .integer(others))
        let bytes = out.b64(.multiply, .register(own), .integer(4))
        return (kept.space, out.b64(.add, .register(first), .register(bytes)))
    }

    private func keptOffset(_ space: Space, _ vector: Int) -> Int {
        vector * schedule.vector * 4 * holders(space)
    }

    /// Threads that share a memory.
    private func holders(_ space: Space) -> Int { space == .shared ? schedule.blockThreads : 1 }
}
