import CCUDA
package import LigerArrays
package import Tile
import TileGPU
import TilePTX

/// An NVIDIA GPU, through the CUDA driver and NVIDIA's libraries.
package final class CUDABackend: Backend {
    package let gpu: CUDADevice
    package let traits: DeviceTraits
    package let memory: MemoryPool
    let compiler: CUDACompiler
    let plans: CUDNNPlans
    private let products: CUDAProductCache
    private let staging = CUDAStaging()
    private let kernels = KernelCache()

    /// - Parameters:
    ///   - library: does the matrix products; nil for the one this machine has, loaded when needed.
    ///   - cudnn: runs graphs.
    package init(_ gpu: CUDADevice, library: CUBLASLt? = nil, cudnn: CUDNN.Source = .machine) {
        self.gpu = gpu
        let properties = gpu.properties
        traits = DeviceTraits(
            name: "cuda:\(properties.ordinal)", model: properties.name, isGPU: true, isHost: false,
            memoryBytes: properties.memoryBytes, blockAlignment: 256, vectorBytes: 16,
            multipliesInKernels: Target(capability: properties.target).multiplies,
            multipliesFloat8: properties.target >= Self.firstWithFloat8)
        memory = MemoryPool(CUDAMemory(device: gpu))
        compiler = CUDACompiler(gpu)
        plans = CUDNNPlans(cudnn)
        products = CUDAProductCache(library)
    }

    /// Compute capability 8.9, Ada.
    private static let firstWithFloat8 = 89

    // MARK: Memory

    package func allocate(_ byteCount: Int) throws -> MemoryBlock { try memory.allocate(byteCount) }

    package func release(_ block: MemoryBlock) { memory.release(block) }

    package func clear(_ target: MemoryView) throws {
        try gpu.context().clear(target.address, bytes: target.byteCount)
    }

    package func copy(_ source: MemoryView, to target: MemoryView) throws {
        try gpu.context().copy(source.address, to: target.address, bytes: source.byteCount)
    }

    package func copy(_ source: MemoryView, of other: any Backend, to target: MemoryView) throws {
        guard let other = other as? CUDABackend else {
            let host = UnsafeMutableRawBufferPointer.allocate(byteCount: source.byteCount, alignment: 16)
            defer { host.deallocate() }
            try other.copyOut(source, to: host)
            return try copyIn(UnsafeRawBufferPointer(host), to: target)
        }
        try gpu.context().copy(
            source.address, of: other.gpu.context(), to: target.address, bytes: source.byteCount)
    }

    package func copyIn(_ source: UnsafeRawBufferPointer, to target: MemoryView) throws {
        try gpu.context().copyIn(source, to: target.address, through: staging)
    }

    package func copyOut(_ source: MemoryView, to target: UnsafeMutableRawBufferPointer) throws {
        try gpu.context().copyOut(source.address, to: target, through: staging)
    }

    // MARK: Work

    package func kernel(_ kernel: some TileKernel, for views: [MemoryView]) throws -> any LoadedKernel {
        let layouts = views.gpuLayouts
        return try kernels.kernel(kernel, layouts: layouts.map(\.code)) { function, signature in
            let unknown = GPULayout(hasUnitStride: false, isAligned: false, hasWholeVectors: false)
            return try compiler.kernel(
                function, layouts: layouts.padded(to: function.views.count, with: unknown),
                signature: signature)
        }
    }

    package func multiply(_ product: Multiplication) throws {
        try ColumnMajorProduct(product).run(product, products, memory, gpu.context())
    }

    // MARK: Order

    package func synchronize() throws { try gpu.context().synchronize() }

    package func withStream(_ stream: UInt, _ body: () throws -> Void) throws {
        try CUDAStream.$given.withValue(CUDAStream(borrowing: stream, on: gpu.context()), operation: body)
    }

    package func run(
        _ steps: [any PreparedStep], _ addresses: UnsafePointer<UInt>, stream: UInt
    ) throws {
        let context = try gpu.context()
        try context.throwKept()
        try context.use {
            for step in steps { try step.run(addresses, stream: stream) }
        }
        if context.isStrict {
            try withStream(stream) {
                if try context.use({ try !context.stream().isCapturing() }) { try context.synchronize() }
            }
        }
    }

    package func capture(_ work: () throws -> Void) throws -> any CapturedWork {
        try CUDAGraph(capturing: gpu.context(), memory, work)
    }

    package func seconds(_ work: () throws -> Void) throws -> Double {
        let context = try gpu.context()
        let (start, end) = (try CUDAEvent(on: context), try CUDAEvent(on: context))
        let stream = try context.stream()
        try start.record(in: stream)
        try work()
        try end.record(in: stream)
        try end.synchronize()
        return Double(try end.milliseconds(since: start)) / 1e3
    }

    package func keep(_ error: any Error) { gpu.openedContext?.keep(error) }

    // MARK: Questions

    /// Short rows take few threads: more of them fit at a time.
    package func partialSums(rowLength: Int) -> Int {
        2 * gpu.properties.multiprocessors * max(1, 2048 / max(rowLength, 1))
    }

    /// The library's workspace stays.
    package func workspaceBytes(_ product: Multiplication) -> Int { 0 }

    package func driverMemory() throws -> (free: Int, total: Int)? {
        try gpu.context().memoryInformation()
    }

    package var compilations: [Compilation] { compiler.compilations }

    package var launches: [String: Int] { kernels.launches }
}
