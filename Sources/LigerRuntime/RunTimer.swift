/// Times pieces of work on a device.
package struct RunTimer {
    private let device: Device
    private let flush: NDArray?

    /// - Throws: `RuntimeError` if a GPU has no memory for the 256 MiB that push everything else out of its cache.
    package init(_ device: Device) throws {
        self.device = device
        flush = device.cuda == nil ? nil : try NDArray(empty: [1 << 26], device: device)
    }

    /// Seconds of one run: the clock's on the processor; on a GPU the device's, with cold caches. Writing the
    /// cache full takes the GPU long enough for the host to hand it the work meanwhile.
    package func seconds(_ work: () throws -> Void) throws -> Double {
        guard let cuda = device.cuda, let flush else {
            return try ContinuousClock().measure { try work() } / .seconds(1)
        }
        let context = try cuda.context()
        let (start, end) = (try CUDAEvent(on: context), try CUDAEvent(on: context))
        let stream = try context.stream()
        try flush.clear()
        try flush.clear()
        try start.record(in: stream)
        try work()
        try end.record(in: stream)
        try end.synchronize()
        return Double(try end.milliseconds(since: start)) / 1e3
    }
}
