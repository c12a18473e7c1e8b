/// A piece of a device's memory. It goes back to the device's pool with its last reference.
public final class Buffer: Sendable {
    /// Where it lies.
    public let device: Device
    /// Its size.
    public let byteCount: Int
    private let block: MemoryPool.Block

    /// Takes memory whose contents are not set.
    ///
    /// - Throws: `RuntimeError` when memory runs out; an error of the device if it has failed before.
    public init(byteCount: Int, device: Device = .cpu) throws {
        self.device = device
        self.byteCount = byteCount
        block = try device.memory.allocate(byteCount)
    }

    deinit { device.memory.release(block) }

    /// Its first byte, in the device's address space. Arrays over one buffer may alias; whoever launches
    /// kernels on them concurrently keeps those apart.
    package var address: UnsafeMutableRawPointer { block.address }
}
