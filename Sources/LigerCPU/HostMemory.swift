import LigerArrays
import Platform

/// Memory of the processor.
struct HostMemory: MemorySource {
    private static let hugePage = 1 << 21

    /// The least of 2^k * (8...15) / 8 that holds the bytes, so that at most an eighth is wasted; at least 64.
    func sizeClass(_ bytes: Int) -> Int {
        if bytes <= 64 { return 64 }
        let step = 1 << Swift.max(6, Int.bitWidth - 1 - bytes.leadingZeroBitCount - 3)
        return (bytes + step - 1) / step * step
    }

    /// All work is done when a call returns: one queue.
    func queue() -> Int { 0 }

    func allocate(_ size: Int) -> UnsafeMutableRawPointer? {
        var pointer: UnsafeMutableRawPointer?
        let alignment = size >= Self.hugePage ? Self.hugePage : 64
        guard posix_memalign(&pointer, alignment, size) == 0, let pointer else { return nil }
        if size >= Self.hugePage { System.wantLargePages(pointer, bytes: size) }
        return pointer
    }

    func free(_ blocks: [UnsafeMutableRawPointer]) {
        for block in blocks { block.deallocateFromSystem() }
    }

    var shortage: String { "Use a smaller batch or sequence, or a smaller model" }
}

extension UnsafeMutableRawPointer {
    /// The system's `free`, which a method of that name hides above.
    fileprivate func deallocateFromSystem() { free(self) }
}
