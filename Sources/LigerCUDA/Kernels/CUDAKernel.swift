import CCUDA
package import LigerArrays
package import LigerGPU
package import Tile
package import TileGPU

/// A kernel loaded on a GPU.
///
/// Owner: the cache of compiled kernels, for the life of the process. Any thread may launch it.
package final class CUDAKernel: DriverKernel {
    package let signature: KernelSignature
    package let kernel: GPUKernel
    let context: CUDAContext
    private let function: CUDAFunction
    package let layout: ParameterLayout
    package let record: ErrorRecords.Record
    private let launchesEarly: Bool

    /// Compiles and prepares the kernel.
    ///
    /// - Parameters:
    ///   - modules: keeps what the driver compiles.
    ///   - signature: nil for that of the kernel, counted for itself.
    /// - Throws: ``GPUError`` with the compiler's log; `RuntimeError` if the GPU cannot run it as scheduled.
    package init(
        _ kernel: GPUKernel, context: CUDAContext, modules: CUDAModuleCache = CUDAModuleCache(),
        signature: KernelSignature? = nil
    ) throws {
        self.kernel = kernel
        self.signature =
            signature ?? KernelSignature(name: kernel.name, views: kernel.views, scalars: kernel.scalars)
        self.context = context
        layout = ParameterLayout(
            views: kernel.views, scalars: kernel.scalars, maps: kernel.product?.maps.count ?? 0)
        launchesEarly = kernel.mayLaunchEarly && context.driver.allowsEarlyLaunch
        try Self.checkSchedule(kernel, context.properties)
        function = try modules.function(ptx: kernel.text, entry: kernel.entry, in: context)
        record = try context.gpu.records.add(kernel: kernel.name, messages: kernel.messages) {
            try context.gpu.allocatePinned($0)
        }
        let resources = function.resources
        if kernel.threadsPerBlock > resources.maximumThreadsPerBlock {
            throw RuntimeError(
                "kernel \(kernel.name) takes \(resources.registersPerThread) registers a thread, so a block has "
                    + "at most \(resources.maximumThreadsPerBlock) threads; it is scheduled for "
                    + "\(kernel.threadsPerBlock). Bound it with .maxntid")
        }
        try allowResources()
    }

    package var gpu: GPUContext { context.gpu }
    package var multiprocessors: Int { context.properties.multiprocessors }
    package var resources: CUDAFunctionResources { function.resources }

    private static func checkSchedule(_ kernel: GPUKernel, _ device: CUDADeviceProperties) throws {
        precondition(
            kernel.programsPerBlock > 0 && kernel.threadsPerBlock > 0 && kernel.blocksPerProgram > 0,
            "a schedule has positive sizes")
        if kernel.sharedBytes > device.largestSharedBytesPerBlock {
            throw RuntimeError(
                "kernel \(kernel.name) wants \(kernel.sharedBytes) bytes of shared memory a block; "
                    + "\(device.name) has \(device.largestSharedBytesPerBlock). Schedule it otherwise")
        }
        if kernel.clusterBlocks > 1 && !device.runsClusters {
            throw RuntimeError(
                "kernel \(kernel.name) is scheduled in clusters, which \(device.name) does not run. "
                    + "Schedule it otherwise")
        }
    }

    /// What a function may not do unless it is said once.
    private func allowResources() throws {
        let functions = context.functions
        try context.use {
            if kernel.sharedBytes > context.properties.sharedBytesPerBlock {
                try context.check(
                    functions.setFunctionAttribute(
                        function.handle, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
                        Int32(kernel.sharedBytes)),
                    "giving kernel \(kernel.name) \(kernel.sharedBytes) bytes of shared memory")
            }
            // Clusters of up to 8 blocks run on every GPU that runs any.
            if kernel.clusterBlocks > 8 {
                try context.check(
                    functions.setFunctionAttribute(
                        function.handle, CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED, 1),
                    "allowing kernel \(kernel.name) clusters of \(kernel.clusterBlocks) blocks")
            }
        }
    }

    /// What no thread would notice: the copy engine fills up with zeros.
    package func check(programs: Int, _ views: [MemoryView]) throws {
        guard let contraction = kernel.product?.contraction else { return }
        let names = kernel.views.map(\.name)
        let (a, b) = (views[contraction.a].shape, views[contraction.b].shape)
        if a[contraction.contractedA] != b[contraction.contractedB] {
            throw LaunchError(
                description: "kernel \(kernel.name): a product of \(names[contraction.a]), whose lines have "
                    + "\(a[contraction.contractedA]) elements, and \(names[contraction.b]), whose lines have "
                    + "\(b[contraction.contractedB]). Check the shapes handed to the operation")
        }
        if programs > a[1 - contraction.contractedA] {
            throw LaunchError(
                description:
                    "kernel \(kernel.name): \(programs) programs for \(names[contraction.a]), which has "
                    + "\(a[1 - contraction.contractedA]) lines. Check the shapes handed to the operation")
        }
    }

    /// How the copy engine finds the tiles of a product's factors.
    package func descriptions(of views: [MemoryView]) throws -> [any AddressDescription] {
        try zip(kernel.product?.maps ?? [], layout.maps).map { map, offset in
            try TileMap(map, of: views[map.view], at: offset, kernel: kernel.name, context)
        }
    }

    /// Hands blocks to a stream. The context must be current.
    package func launch(
        _ blocks: UInt32, _ stream: OpaquePointer?, _ parameters: UnsafeMutableRawPointer
    ) -> Int32 {
        if kernel.product != nil {
            // The copy engine's maps are at multiples of 64 bytes. Where that puts the parameters among the driver's own
            // is for the driver to say.
            return withUnsafeTemporaryAllocation(of: UnsafeMutableRawPointer?.self, capacity: 1) { list in
                list[0] = parameters
                return launch(blocks, stream, list.baseAddress, nil)
            }
        }
        return withParameterBlock(parameters, end: Int(CU_LAUNCH_PARAM_END)) {
            launch(blocks, stream, nil, $0)
        }
    }

    /// With the parameters as a list of pointers, or as one block.
    private func launch(
        _ blocks: UInt32, _ stream: CUstream?, _ list: UnsafeMutablePointer<UnsafeMutableRawPointer?>?,
        _ block: UnsafeMutablePointer<UnsafeMutableRawPointer?>?
    ) -> CUresult {
        kernel.clusterBlocks > 1 || launchesEarly
            ? launchWithAttributes(blocks, stream, list, block)
            : gpu.functions.launch(
                function.handle, blocks, 1, 1, UInt32(kernel.threadsPerBlock), 1, 1,
                UInt32(kernel.sharedBytes), stream, list, block)
    }

    private func launchWithAttributes(
        _ blocks: UInt32, _ stream: CUstream?, _ list: UnsafeMutablePointer<UnsafeMutableRawPointer?>?,
        _ block: UnsafeMutablePointer<UnsafeMutableRawPointer?>?
    ) -> CUresult {
        withUnsafeTemporaryAllocation(of: CUlaunchAttribute.self, capacity: 2) { attributes in
            var count = 0
            if kernel.clusterBlocks > 1 {
                attributes[count] = CUlaunchAttribute()
                attributes[count].id = CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION
                attributes[count].cluster.x = UInt32(kernel.clusterBlocks)
                (attributes[count].cluster.y, attributes[count].cluster.z) = (1, 1)
                count += 1
            }
            if launchesEarly {
                attributes[count] = CUlaunchAttribute()
                attributes[count].id = CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION
                attributes[count].waitsItself = 1
                count += 1
            }
            var configuration = CUlaunchConfig(
                gridDimX: blocks, gridDimY: 1, gridDimZ: 1, blockDimX: UInt32(kernel.threadsPerBlock),
                blockDimY: 1, blockDimZ: 1, sharedMemBytes: UInt32(kernel.sharedBytes),
                hStream: stream, attrs: attributes.baseAddress, numAttrs: UInt32(count))
            return context.functions.launchWithAttributes(&configuration, function.handle, list, block)
        }
    }
}
