/// Where arrays live and kernels run. The process has one object per device.
public final class Device: Sendable, CustomStringConvertible {
    /// This machine's processor.
    public static let cpu = Device(name: "cpu")

    /// `cpu`; further devices add their own.
    public let name: String

    let memory = MemoryPool()

    /// A device with memory counters of its own: tests measure with one.
    package init(name: String) { self.name = name }

    public var description: String { name }

    /// The device of a name, such as the one given to `--device`.
    ///
    /// - Throws: `RuntimeError` if this build or machine has no such device.
    public static func named(_ name: String) throws -> Device {
        guard name == "cpu" else {
            throw RuntimeError(
                "there is no device named '\(name)'. Devices of this build: cpu. Pass --device cpu")
        }
        return .cpu
    }

    /// Bytes that arrays hold now.
    public var bytesInUse: Int { memory.bytesInUse }

    /// The most bytes that arrays held at a time since `resetPeak()`.
    public var peakBytes: Int { memory.peakBytes }

    /// Starts a new measurement of `peakBytes`, from what is in use now.
    public func resetPeak() { memory.resetPeak() }

    /// Gives memory that no array holds back to the system.
    public func releaseCache() { memory.releaseCache() }
}

/// A failure of devices, memory or arguments handed to them: what was wrong and what to do.
public struct RuntimeError: Error, CustomStringConvertible {
    public let description: String

    package init(_ description: String) { self.description = description }
}
