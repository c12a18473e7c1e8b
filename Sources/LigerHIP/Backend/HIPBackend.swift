package import LigerArrays
package import LigerGPU
import Platform
package import Tile
import TileGPU

/// An AMD GPU, through HIP and AMD's libraries.
package final class HIPBackend: DriverBackend {
    package let gpu: HIPDevice
    package let traits: DeviceTraits
    package let memory: MemoryPool
    package let staging = GPUStaging()
    private let compiler: HIPCompiler
    private let products: HIPProducts
    private let kernels = KernelCache()

    /// - Parameters:
    ///   - library: does the matrix products; nil for the one this machine has, loaded when needed.
    ///   - cache: of code objects; nil for that of this machine.
    ///   - manager: compiles kernels; nil for the one this machine has, loaded when needed.
    package init(
        _ gpu: HIPDevice, library: HIPBLASLt? = nil,
        cache: CodeCache? = nil, manager: (@Sendable () throws -> CodeObjectManager)? = nil
    ) {
        self.gpu = gpu
        let properties = gpu.properties
        traits = DeviceTraits(
            name: "hip:\(properties.ordinal)", model: properties.name, isGPU: true, isHost: false,
            memoryBytes: properties.memoryBytes, blockAlignment: 256, vectorBytes: 16)
        memory = MemoryPool(
            GPUMemory(
                gpu.opened, name: "hip:\(properties.ordinal) (\(properties.name))",
                lister: "rocm-smi --showpids"))
        compiler = HIPCompiler(
            gpu, cache: cache ?? CodeCache(ProcessInfo.processInfo.environment),
            manager: manager ?? { try CodeObjectManager.load() })
        products = HIPProducts(library)
    }

    package var device: LazyContext { gpu.opened }
    package var multiprocessors: Int { gpu.properties.multiprocessors }

    package var exchanges: ExchangeLibrary {
        ExchangeLibrary(
            name: "RCCL", search: .rccl(ProcessInfo.processInfo.environment),
            advice: "Install one with ROCm (package rccl), or set LIGER_RCCL to the file or its folder")
    }

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
        try products.run(product, memory, gpu.context())
    }

    /// `0.10.0`, of the library that multiplies.
    package func productLibraryVersion() throws -> String { try products.versionText(gpu.context()) }

    package var compilations: [Compilation] { compiler.compilations }

    package var launches: [String: Int] { kernels.launches }
}
