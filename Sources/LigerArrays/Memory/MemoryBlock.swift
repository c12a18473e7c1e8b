/// Memory handed out, until it is given up.
package struct MemoryBlock: @unchecked Sendable {
    // Whoever holds the block says who may touch the memory.
    package let address: UnsafeMutableRawPointer
    package let byteCount: Int
    /// Which requests it serves again.
    let kind: Kind

    struct Kind: Hashable {
        let size: Int
        let queue: Int
    }

    init(address: UnsafeMutableRawPointer, byteCount: Int, kind: Kind) {
        self.address = address
        self.byteCount = byteCount
        self.kind = kind
    }

    /// A block of no pool, such as a recording's.
    package init(address: UnsafeMutableRawPointer, byteCount: Int) {
        self.init(address: address, byteCount: byteCount, kind: Kind(size: byteCount, queue: 0))
    }
}
