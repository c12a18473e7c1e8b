package import LigerArrays
package import LigerGPU
package import Tile
import TileGPU
import TilePTX

/// An NVIDIA GPU, through the CUDA driver and NVIDIA's libraries.
package final class CUDABackend: DriverBackend {
    package let gpu: CUDADevice
    package let traits: DeviceTraits
    package let memory: MemoryPool
    package let staging = GPUStaging()
    let compiler: CUDACompiler
    let plans: CUDNNPlans
    private let products: CUDAProductCache
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
        memory = MemoryPool(
            GPUMemory(
                gpu.opened, name: "cuda:\(properties.ordinal) (\(properties.name))", lister: "nvidia-smi"))
        compiler = CUDACompiler(gpu)
        plans = CUDNNPlans(cudnn)
        products = CUDAProductCache(library)
    }

    package var device: LazyContext { gpu.opened }
    package var multiprocessors: Int { gpu.properties.multiprocessors }

    package var exchanges: ExchangeLibrary { .nccl }

    /// Compute capability 8.9, Ada.
    private static let firstWithFloat8 = 89

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

    package var compilations: [Compilation] { compiler.compilations }

    package var launches: [String: Int] { kernels.launches }
}
