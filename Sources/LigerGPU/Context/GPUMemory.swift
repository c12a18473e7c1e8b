import LigerArrays

/// The memory of a GPU as the pool takes it from the driver.
///
/// Owner: the `MemoryPool` of the device. Any thread may use it. Blocks go back to the driver only when the
/// pool empties its cache, which waits for the GPU.
package struct GPUMemory: MemorySource {
    private let device: LazyContext
    /// Such as `cuda:0 (NVIDIA H200)`, and what lists the GPU's processes.
    private let name: String
    private let lister: String

    package init(_ device: LazyContext, name: String, lister: String) {
        (self.device, self.name, self.lister) = (device, name, lister)
    }

    /// Small blocks an eighth of a power of two apart, as on the processor. From 32 MiB on a thirty-second,
    /// and whole pages of 2 MiB, as the driver hands memory out in these.
    package func sizeClass(_ bytes: Int) -> Int {
        if bytes <= 512 { return 512 }
        let fraction = bytes >= 32 << 20 ? 5 : 3
        let step = 1 << Swift.max(9, Int.bitWidth - 1 - bytes.leadingZeroBitCount - fraction)
        let whole = bytes >= 32 << 20 ? Swift.max(step, 2 << 20) : step
        return (bytes + whole - 1) / whole * whole
    }

    package func queue() throws -> Int { try device.context().stream().number }

    package func allocate(_ size: Int) throws -> UnsafeMutableRawPointer? {
        let context = try device.context()
        try context.throwKept()
        var address: UInt64 = 0
        let code = try context.useOutsideCaptures { context.functions.allocate(&address, size) }
        if code == GPUFunctions.outOfMemory { return nil }
        try context.check(code, "taking \(size) bytes of memory")
        return UnsafeMutableRawPointer(bitPattern: UInt(address))
    }

    package func free(_ blocks: [UnsafeMutableRawPointer]) {
        guard let context = device.openedContext else { return }
        do {
            try context.useOutsideCaptures {
                for block in blocks {
                    try context.check(context.functions.free(block.deviceAddress), "giving memory back")
                }
            }
        } catch {
            context.keep(error)
        }
    }

    package var shortage: String {
        var (available, total) = (0, 0)
        if let context = device.openedContext {
            // Only for the message: zeros if the driver does not say.
            _ = try? context.use { context.functions.memoryInfo(&available, &total) }
        }
        return "\(name) has \(available >> 20) of "
            + "\(total >> 20) MiB free. Use a smaller batch or sequence, a smaller model, or end other "
            + "processes on the GPU (\(lister) lists them)"
    }
}
