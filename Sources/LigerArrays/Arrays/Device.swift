/// Where arrays live and kernels run. The process has one object per device.
public final class Device: Sendable, CustomStringConvertible {
    /// Does its work.
    package let backend: any Backend
    package let traits: DeviceTraits

    package init(_ backend: any Backend) {
        self.backend = backend
        traits = backend.traits
    }

    /// `cpu`, or `cuda:0` and so on.
    public var name: String { traits.name }

    public var description: String { name }

    /// Into how many parts a sum over many rows is cut, so that all of the device works on it. Fixed for a
    /// device and a length of rows, so that sums repeat bit for bit.
    package func partialSums(rowLength: Int) -> Int { backend.partialSums(rowLength: rowLength) }

    /// Waits for all work handed to the device; on the processor there is none left.
    ///
    /// - Throws: an error if that work failed.
    public func synchronize() throws { try backend.synchronize() }

    /// Waits for all work handed to a stream of another library, by the driver's handle of it.
    ///
    /// - Throws: an error if that work failed.
    package func synchronize(stream: UInt) throws {
        try backend.withStream(stream) { try backend.synchronize() }
    }

    /// Takes work down without doing it, to be done as a whole for the cost of one launch. Copies between host and
    /// device are no part of such work.
    ///
    /// What it needs once, such as compiled kernels, should be there already: run it before.
    ///
    /// - Throws: `RuntimeError` if the device does not do this; what `work` throws; an error of the device.
    package func capture(_ work: () throws -> Void) throws -> any CapturedWork {
        try backend.capture(work)
    }

    /// What the device is, such as `NVIDIA H200`; nil for the processor.
    public var model: String? { traits.model }

    /// What the driver says of the device's memory, whoever uses it; nil for the processor.
    ///
    /// - Throws: an error of the device.
    public func driverMemory() throws -> (free: Int, total: Int)? { try backend.driverMemory() }

    /// Whether it is a GPU: thousands of threads over memory of its own.
    package var isGPU: Bool { traits.isGPU }

    /// Whether work is only handed to the device when a call returns, and done later.
    public var runsBehind: Bool { traits.isGPU }

    /// How often each kernel was launched on this device, by its name.
    package var launches: [String: Int] { backend.launches }

    /// What a driver compiled for this device so far.
    package var compilations: [Compilation] { backend.compilations }

    /// Bytes that arrays hold now.
    public var bytesInUse: Int { backend.memory.bytesInUse }

    /// The most bytes that arrays held at a time since `resetPeak()`.
    public var peakBytes: Int { backend.memory.peakBytes }

    /// Starts a new measurement of `peakBytes`, from what is in use now.
    public func resetPeak() { backend.memory.resetPeak() }

    /// Gives memory that no array holds back to the system.
    public func releaseCache() { backend.memory.releaseCache() }
}
