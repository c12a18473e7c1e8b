/// A piece of a device's memory. Memory of the device's pool goes back to it with the last reference.
public final class Buffer: Sendable {
    /// Where it lies.
    public let device: Device
    /// Its size.
    public let byteCount: Int
    private let memory: Memory

    /// Whose the memory is.
    private enum Memory: Sendable {
        case pool(MemoryPool.Block)
        /// Someone else's, who keeps it alive.
        case borrowed(Address)
        /// None: a number that stands for memory while an operation is recorded.
        case recorded(Address, Recording)
    }

    private struct Address: @unchecked Sendable {
        // Whoever holds the buffer says who may touch the memory.
        let pointer: UnsafeMutableRawPointer
    }

    /// Takes memory whose contents are not set.
    ///
    /// - Throws: `RuntimeError` when memory runs out; an error of the device if it has failed before.
    public init(byteCount: Int, device: Device = .cpu) throws {
        self.device = device
        self.byteCount = byteCount
        if let recording = device.recording {
            memory = .recorded(Address(pointer: recording.allocate(byteCount)), recording)
        } else {
            memory = .pool(try device.memory.allocate(byteCount))
        }
    }

    /// Memory of another library, such as a tensor's, which must stay alive as long as this object.
    package init(borrowing address: UnsafeMutableRawPointer, byteCount: Int, device: Device) {
        self.device = device
        self.byteCount = byteCount
        memory = .borrowed(Address(pointer: address))
    }

    deinit {
        switch memory {
        case .pool(let block): device.memory.release(block)
        case .borrowed: break
        case .recorded(let address, let recording): recording.release(address.pointer)
        }
    }

    /// Its first byte, in the device's address space. Arrays over one buffer may alias; whoever launches
    /// kernels on them concurrently keeps those apart.
    package var address: UnsafeMutableRawPointer {
        switch memory {
        case .pool(let block): block.address
        case .borrowed(let address), .recorded(let address, _): address.pointer
        }
    }
}
