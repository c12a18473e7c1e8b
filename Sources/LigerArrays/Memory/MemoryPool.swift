import Synchronization

/// Memory of a device, kept for reuse: new blocks cost more than filling them.
///
/// Counters count what arrays asked for.
package final class MemoryPool: Sendable {
    private typealias Kind = MemoryBlock.Kind

    /// A block that captured work uses whenever it is run again.
    private struct Reserved: Sendable {
        let kind: Kind
        var isInUse: Bool
    }

    private struct State: Sendable {
        /// Addresses of free blocks.
        var free: [Kind: [UInt]] = [:]
        /// Blocks handed out since a reservation began; nil while none is made.
        var handedOut: [UInt: Kind]?
        /// Blocks that a reservation holds, by address. They are handed to nobody.
        var reserved: [UInt: Reserved] = [:]
        var inUse = 0
        var peak = 0
    }

    private let source: any MemorySource
    private let state = Mutex(State())

    package init(_ source: any MemorySource) { self.source = source }

    // Every block is free: a buffer keeps its device, and a reservation the pool.
    deinit { releaseCache() }

    package var bytesInUse: Int { state.withLock { $0.inUse } }
    package var peakBytes: Int { state.withLock { $0.peak } }
    package func resetPeak() { state.withLock { $0.peak = $0.inUse } }

    /// At least `bytes` bytes, aligned to 64; the contents are not set. When memory runs out, what is kept
    /// for reuse is given back, and it is asked for once more.
    package func allocate(_ bytes: Int) throws -> MemoryBlock {
        let kind = Kind(size: source.sizeClass(bytes), queue: try source.queue())
        let reused = state.withLock { $0.free[kind]?.popLast() }
        if let reused, let address = UnsafeMutableRawPointer(bitPattern: reused) {
            return block(address, bytes, kind)
        }
        if let address = try source.allocate(kind.size) { return block(address, bytes, kind) }
        releaseCache()
        if let address = try source.allocate(kind.size) { return block(address, bytes, kind) }
        throw RuntimeError(
            "out of memory: \(bytes) bytes wanted in addition to \(bytesInUse) in use. \(source.shortage)",
            kind: .memory)
    }

    private func block(_ address: UnsafeMutableRawPointer, _ bytes: Int, _ kind: Kind) -> MemoryBlock {
        state.withLock { state in
            state.inUse += bytes
            state.peak = max(state.peak, state.inUse)
            state.handedOut?[UInt(bitPattern: address)] = kind
        }
        return MemoryBlock(address: address, byteCount: bytes, kind: kind)
    }

    package func release(_ block: MemoryBlock) {
        state.withLock { state in
            state.inUse -= block.byteCount
            let address = UInt(bitPattern: block.address)
            if state.reserved[address] != nil {
                state.reserved[address]?.isInUse = false
            } else {
                state.free[block.kind, default: []].append(address)
            }
        }
    }

    /// Runs `body` and keeps every block that it was handed, freed again or not, for as long as the
    /// reservation lives: work that was captured meanwhile will use them again. Not to be nested.
    package func reserving(_ body: () throws -> Void) throws -> Reservation {
        state.withLock { state in
            precondition(state.handedOut == nil, "one reservation at a time")
            state.handedOut = [:]
        }
        let result = Result { try body() }
        let addresses = state.withLock { state in
            let blocks = state.handedOut ?? [:]
            state.handedOut = nil
            for (address, kind) in blocks {
                let place = state.free[kind]?.firstIndex(of: address)
                if let place { state.free[kind]?.remove(at: place) }
                state.reserved[address] = Reserved(kind: kind, isInUse: place == nil)
            }
            return Array(blocks.keys)
        }
        // Gives the blocks back at once if the body failed.
        let reservation = Reservation(pool: self, addresses: addresses)
        try result.get()
        return reservation
    }

    /// Blocks that nobody else gets.
    package final class Reservation: Sendable {
        private let pool: MemoryPool
        private let addresses: [UInt]

        fileprivate init(pool: MemoryPool, addresses: [UInt]) {
            self.pool = pool
            self.addresses = addresses
        }

        deinit {
            pool.state.withLock { state in
                for address in addresses {
                    guard let block = state.reserved.removeValue(forKey: address), !block.isInUse else {
                        continue
                    }
                    state.free[block.kind, default: []].append(address)
                }
            }
        }
    }

    package func releaseCache() {
        let blocks = state.withLock { state in
            defer { state.free = [:] }
            return state.free.values.flatMap { $0 }
        }
        if !blocks.isEmpty { source.free(blocks.compactMap { UnsafeMutableRawPointer(bitPattern: $0) }) }
    }
}
