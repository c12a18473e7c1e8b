/// Where arrays live and kernels run. The process has one object per device.
public final class Device: Sendable, CustomStringConvertible {
    /// This machine's processor.
    public static let cpu = Device(name: "cpu")

    /// `cpu`, or `cuda:0` and so on.
    public let name: String

    let memory: MemoryPool
    /// The GPU; nil for the processor.
    package let cuda: CUDADevice?
    /// Takes work down instead of doing it; nil for a device that works.
    let recording: Recording?

    /// The processor with memory counters of its own: tests measure with one.
    package init(name: String) {
        self.name = name
        memory = MemoryPool(HostMemory())
        cuda = nil
        recording = nil
    }

    /// A stand-in for a device, whose work is recorded.
    init(recording: Recording, for device: Device) {
        name = device.name
        memory = device.memory
        cuda = device.cuda
        self.recording = recording
    }

    /// A GPU. Those of this machine are in `available`.
    package init(cuda: CUDADevice) {
        name = "cuda:\(cuda.properties.ordinal)"
        memory = MemoryPool(CUDAMemory(device: cuda))
        self.cuda = cuda
        recording = nil
    }

    public var description: String { name }

    /// Into how many parts a sum over many rows is cut, so that all of the device works on it. Fixed for a
    /// device and a length of rows, so that sums repeat bit for bit.
    package func partialSums(rowLength: Int) -> Int {
        // Short rows take few threads: more of them fit at a time.
        cuda.map { 2 * $0.properties.multiprocessors * max(1, 2048 / max(rowLength, 1)) } ?? 32
    }

    private static let gpus = Result<[Device], any Error> {
        let driver = try CUDADriver.load()
        return try (0..<driver.deviceCount).map {
            Device(cuda: try CUDADevice(driver: driver, ordinal: $0))
        }
    }

    /// The GPUs of this machine.
    ///
    /// - Throws: an error that says why there is none.
    package static func cudaDevices() throws -> [Device] { try gpus.get() }

    /// The processor and the GPUs that can be used.
    public static var available: [Device] { [.cpu] + ((try? gpus.get()) ?? []) }

    /// The device of a name, such as the one given to `--device`: `cpu`, `cuda` for the first GPU, or
    /// `cuda:1` and so on.
    ///
    /// - Throws: an error that says what this machine has if it has no such device.
    public static func named(_ name: String) throws -> Device {
        if name == "cpu" { return .cpu }
        let found = available.map(\.name).joined(separator: ", ")
        guard name == "cuda" || (name.hasPrefix("cuda:") && Int(name.dropFirst(5)) != nil) else {
            throw RuntimeError("there is no device named '\(name)'. Pass --device with one of: \(found)")
        }
        let gpus: [Device]
        do {
            gpus = try cudaDevices()
        } catch {
            throw RuntimeError("the device '\(name)' cannot be used: \(error)\nPass --device cpu to go on")
        }
        let wanted = name == "cuda" ? "cuda:0" : name
        guard let device = gpus.first(where: { $0.name == wanted }) else {
            throw RuntimeError("there is no device named '\(name)'. Pass --device with one of: \(found)")
        }
        return device
    }

    /// The device on which arrays can be worked on together; nil if there are none.
    ///
    /// - Throws: `RuntimeError` if they are apart.
    @discardableResult
    static func checkCommon(_ arrays: [NDArray], _ work: @autoclosure () -> String) throws -> Device? {
        guard let first = arrays.first?.device else { return nil }
        for array in arrays {
            let other = array.device
            if other !== first && (first.separates || other.separates) {
                throw RuntimeError(
                    "\(work()) was given arrays of \(first) and of \(other). Copy them to one device")
            }
        }
        return first
    }

    /// Whether its arrays are out of reach for other devices. All objects of the processor are one device.
    private var separates: Bool { cuda != nil || recording != nil }

    /// Waits for all work handed to the device; on the processor there is none left.
    ///
    /// - Throws: an error if that work failed.
    public func synchronize() throws { try cuda?.context().synchronize() }

    /// Waits for all work handed to a stream of another library, by the driver's handle of it.
    ///
    /// - Throws: an error if that work failed.
    package func synchronize(stream: UInt) throws {
        guard let context = try cuda?.context() else { return }
        try CUDAStream.$given.withValue(CUDAStream(borrowing: stream, on: context)) {
            try context.synchronize()
        }
    }

    /// What the device is, such as `NVIDIA H200`; nil for the processor.
    public var model: String? { cuda?.properties.name }

    /// What the driver says of the device's memory, whoever uses it; nil for the processor.
    ///
    /// - Throws: an error of the device.
    public func driverMemory() throws -> (free: Int, total: Int)? {
        try cuda?.context().memoryInformation()
    }

    /// Whether work is only handed to the device when a call returns, and done later.
    public var runsBehind: Bool { cuda != nil }

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
    /// What a caller in another language tells apart.
    package enum Kind: Sendable {
        case argument, memory, device, library
    }

    public let description: String
    package let kind: Kind

    package init(_ description: String, kind: Kind = .argument) {
        self.description = description
        self.kind = kind
    }
}
