/// A piece of a device's memory. Memory that it took goes back to the device with the last reference.
public final class Buffer: Sendable {
    /// The device whose memory it is.
    public let device: Device
    /// Its size.
    public let byteCount: Int
    private let block: MemoryBlock
    /// Whether someone else keeps the memory alive.
    private let isBorrowed: Bool

    /// Takes memory whose contents are not set.
    ///
    /// - Throws: `RuntimeError` when memory runs out; an error of the device if it has failed before.
    public init(byteCount: Int, device: Device) throws {
        self.device = device
        self.byteCount = byteCount
        isBorrowed = false
        block = try device.backend.allocate(byteCount)
    }

    /// Memory of another library, such as a tensor's, which must stay alive as long as this object.
    package init(borrowing address: UnsafeMutableRawPointer, byteCount: Int, device: Device) {
        self.device = device
        self.byteCount = byteCount
        isBorrowed = true
        block = MemoryBlock(address: address, byteCount: byteCount)
    }

    deinit {
        if !isBorrowed { device.backend.release(block) }
    }

    /// Its first byte, in the device's address space. Arrays over one buffer may alias; whoever launches
    /// kernels on them concurrently keeps those apart.
    package var address: UnsafeMutableRawPointer { block.address }
}
