package import LigerArrays
import Tile

extension Device {
    /// A GPU that this machine does not have, to ask what work would take on it: an NVIDIA GPU of compute capability 9.0
    /// with so much memory. It does nothing; `recordingMemory()` of it notes work as that of a GPU that is there.
    ///
    /// - Parameters:
    ///   - memoryBytes: all of it, of which nothing is in use.
    ///   - host: the processor.
    package static func absentGPU(memoryBytes: Int, host: Device) -> Device {
        Device(AbsentGPU(memoryBytes: memoryBytes, host))
    }
}

/// The back end of `Device.absentGPU`: it answers questions and refuses all work.
final class AbsentGPU: Backend {
    /// Of an H100 and an H200.
    private static let multiprocessors = 132

    let traits: DeviceTraits
    /// The processor's; nothing is taken from it.
    let memory: MemoryPool
    private let memoryBytes: Int
    private let kernels = KernelCache()

    init(memoryBytes: Int, _ host: Device) {
        self.memoryBytes = memoryBytes
        memory = host.backend.memory
        traits = DeviceTraits(
            name: "cuda:0", model: "a GPU of compute capability 9.0 that is not here", isGPU: true,
            isHost: false, memoryBytes: memoryBytes, blockAlignment: 256, vectorBytes: 16,
            multipliesInKernels: true, multipliesFloat8: true)
    }

    private final class Nothing: LoadedKernel {
        let signature: KernelSignature

        init(_ signature: KernelSignature) { self.signature = signature }

        func launch(programs: Int, _ views: [MemoryView], _ scalars: [LaunchScalar]) throws {
            throw AbsentGPU.refusal
        }

        func prepared(
            programs: Int, _ arrays: [PlacedArray], _ scalars: [LaunchScalar]
        ) throws -> any PreparedStep { throw AbsentGPU.refusal }
    }

    /// As declared; nothing is compiled.
    func kernel(_ kernel: some TileKernel, for views: [MemoryView]) throws -> any LoadedKernel {
        try kernels.kernel(kernel, layouts: []) { Nothing($1) }
    }

    /// As an H200's.
    func partialSums(rowLength: Int) -> Int {
        2 * Self.multiprocessors * max(1, 2048 / max(rowLength, 1))
    }

    func workspaceBytes(_ product: Multiplication) -> Int { 0 }

    func driverMemory() throws -> (free: Int, total: Int)? { (memoryBytes, memoryBytes) }

    var compilations: [Compilation] { [] }

    var launches: [String: Int] { kernels.launches }
}

// What it refuses.
extension AbsentGPU {
    static var refusal: RuntimeError {
        RuntimeError("the GPU is not here; it only says what work would take")
    }

    func allocate(_ byteCount: Int) throws -> MemoryBlock { throw Self.refusal }
    func release(_ block: MemoryBlock) {}
    func clear(_ target: MemoryView) throws { throw Self.refusal }
    func copy(_ source: MemoryView, to target: MemoryView) throws { throw Self.refusal }
    func copy(_ source: MemoryView, of other: any Backend, to target: MemoryView) throws {
        throw Self.refusal
    }
    func copyIn(_ source: UnsafeRawBufferPointer, to target: MemoryView) throws { throw Self.refusal }
    func copyOut(_ source: MemoryView, to target: UnsafeMutableRawBufferPointer) throws {
        throw Self.refusal
    }
    func multiply(_ product: Multiplication) throws { throw Self.refusal }
    func synchronize() throws { throw Self.refusal }
    func withStream(_ stream: UInt, _ body: () throws -> Void) throws { throw Self.refusal }
    func run(_ steps: [any PreparedStep], _ addresses: UnsafePointer<UInt>, stream: UInt) throws {
        throw Self.refusal
    }
    func capture(_ work: () throws -> Void) throws -> any CapturedWork { throw Self.refusal }
    func seconds(_ work: () throws -> Void) throws -> Double { throw Self.refusal }
    func keep(_ error: any Error) {}
}
