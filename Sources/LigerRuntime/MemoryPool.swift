import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// Memory of the processor, kept for reuse: fresh pages cost more than filling them.
///
/// Blocks come in size classes an eighth of a power of two apart, so that at most an eighth is wasted.
/// Counters count what arrays asked for.
final class MemoryPool: Sendable {
    private struct State: Sendable {
        /// Addresses of free blocks, by size class.
        var free: [Int: [UInt]] = [:]
        var inUse = 0
        var peak = 0
    }

    private let state = Mutex(State())

    var bytesInUse: Int { state.withLock { $0.inUse } }
    var peakBytes: Int { state.withLock { $0.peak } }
    func resetPeak() { state.withLock { $0.peak = $0.inUse } }

    /// At least `bytes` bytes, aligned to 64; the contents are not set.
    func allocate(_ bytes: Int) throws -> UnsafeMutableRawPointer {
        let size = Self.sizeClass(bytes)
        let reused: UInt? = state.withLock { state in
            state.inUse += bytes
            state.peak = max(state.peak, state.inUse)
            return state.free[size]?.popLast()
        }
        if let reused, let pointer = UnsafeMutableRawPointer(bitPattern: reused) { return pointer }
        var pointer: UnsafeMutableRawPointer?
        let alignment = size >= Self.hugePage ? Self.hugePage : 64
        guard posix_memalign(&pointer, alignment, size) == 0, let pointer else {
            state.withLock { $0.inUse -= bytes }
            throw RuntimeError(
                "out of memory: \(bytes) bytes wanted beside \(bytesInUse) in use. "
                    + "Use a smaller batch or sequence, or a smaller model")
        }
        #if os(Linux)
            if size >= Self.hugePage { madvise(pointer, size, MADV_HUGEPAGE) }
        #endif
        return pointer
    }

    func release(_ pointer: UnsafeMutableRawPointer, _ bytes: Int) {
        state.withLock { state in
            state.inUse -= bytes
            state.free[Self.sizeClass(bytes), default: []].append(UInt(bitPattern: pointer))
        }
    }

    func releaseCache() {
        let blocks = state.withLock { state in
            defer { state.free = [:] }
            return state.free.values.flatMap { $0 }
        }
        for block in blocks { free(UnsafeMutableRawPointer(bitPattern: block)) }
    }

    private static let hugePage = 1 << 21

    /// The least of 2^k * (8...15) / 8 that holds the bytes; at least 64.
    static func sizeClass(_ bytes: Int) -> Int {
        if bytes <= 64 { return 64 }
        let step = 1 << Swift.max(6, Int.bitWidth - 1 - bytes.leadingZeroBitCount - 3)
        return (bytes + step - 1) / step * step
    }
}
