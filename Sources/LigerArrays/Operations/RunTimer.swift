/// Times pieces of work on a device.
package struct RunTimer {
    private let device: Device
    private let flush: NDArray?

    /// - Throws: `RuntimeError` if a GPU has no memory for the 256 MiB that push everything else out of its cache.
    package init(_ device: Device) throws {
        self.device = device
        flush = device.isGPU ? try NDArray(empty: [1 << 26], device: device) : nil
    }

    /// Seconds of one run: the clock's on the processor; on a GPU the device's, with cold caches. Writing the
    /// cache full takes the GPU long enough for the host to hand it the work meanwhile.
    package func seconds(_ work: () throws -> Void) throws -> Double {
        try flush?.clear()
        try flush?.clear()
        return try device.backend.seconds(work)
    }
}
