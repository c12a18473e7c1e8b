import CCUDA
package import LigerArrays
package import Tile
import TileGPU

/// A kernel loaded on a GPU.
///
/// Owner: the cache of compiled kernels, for the life of the process. Any thread may launch it.
package final class CUDAKernel: LoadedKernel {
    package let signature: KernelSignature
    package let kernel: GPUKernel
    let context: CUDAContext
    private let function: CUDAFunction
    let layout: ParameterLayout
    private let record: CUDAErrorRecords.Record
    private let launchesEarly: Bool

    /// Compiles and prepares the kernel.
    ///
    /// - Parameters:
    ///   - modules: keeps what the driver compiles.
    ///   - signature: nil for that of the kernel, counted for itself.
    /// - Throws: ``CUDAError`` with the compiler's log; `RuntimeError` if the GPU cannot run it as scheduled.
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
        function = try modules.function(ptx: kernel.ptx, entry: kernel.entry, in: context)
        record = try context.records.add(kernel: kernel.name, messages: kernel.messages) {
            try context.allocatePinned($0)
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

    /// Hands programs 0 ..< programs to the current stream.
    ///
    /// The arguments must fit the kernel's declaration. Does not wait, unless in strict mode.
    ///
    /// - Throws: ``CUDAError`` if the launch, or work before it, failed. A check that a program fails is
    ///   thrown here in strict mode, else when values are next copied to the host.
    package func launch(programs: Int, _ views: [MemoryView], _ scalars: [LaunchScalar]) throws {
        try context.throwKept()
        let blocks = try blockCount(programs: programs, views)
        if blocks == 0 { return }
        let maps = try tileMaps(views)
        let stream = try context.stream()
        try context.use {
            try withUnsafeTemporaryAllocation(byteCount: layout.byteCount, alignment: 64) { memory in
                guard let base = memory.baseAddress else { return }
                layout.pack(
                    views, scalars, programs: programs, record: record.deviceAddress, into: base)
                for map in maps { try map.encode(views[map.map.view].address, into: base, context) }
                try context.check(
                    launch(blocks, stream.handle, base), "launching kernel \(kernel.name)")
            }
            if try context.isStrict && !stream.isCapturing() { try context.synchronize() }
        }
        signature.counter.increment()
    }

    /// Blocks of a launch.
    ///
    /// - Throws: `RuntimeError` if they are too many.
    func blockCount(programs: Int, _ views: [MemoryView]) throws -> UInt32 {
        if let product = kernel.product { try check(product, programs: programs, views) }
        let blocks = kernel.blocks(
            programs: programs, views, multiprocessors: context.properties.multiprocessors)
        guard blocks <= Int(Int32.max) else {
            throw RuntimeError(
                "kernel \(kernel.name): \(programs) programs need \(blocks) blocks, a launch has at most "
                    + "\(Int32.max). Split the work")
        }
        return UInt32(blocks)
    }

    /// What no thread would notice: the copy engine fills up with zeros.
    private func check(_ product: GPUKernel.Product, programs: Int, _ views: [MemoryView]) throws {
        guard let contraction = product.contraction else { return }
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
    func tileMaps(_ views: [MemoryView]) throws -> [TileMap] {
        try zip(kernel.product?.maps ?? [], layout.maps).map { map, offset in
            try TileMap(map, of: views[map.view], at: offset, kernel: kernel.name)
        }
    }

    /// The bytes of a launch's parameters.
    func parameters(_ views: [MemoryView], _ scalars: [LaunchScalar], programs: Int) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: layout.byteCount) { memory, count in
            memory.initialize(repeating: 0)
            count = layout.byteCount
            guard let base = UnsafeMutableRawPointer(memory.baseAddress) else { return }
            layout.pack(views, scalars, programs: programs, record: record.deviceAddress, into: base)
        }
    }

    /// Throws what a program of an earlier launch noted, once that launch is done.
    func throwFailure(_ stream: CUstream?) throws {
        if record.words[0] == 0 { return }
        try context.check(context.functions.synchronizeStream(stream), "waiting for the GPU's work")
        if let error = context.records.take() { throw error }
    }

    /// Hands blocks to a stream. The context must be current.
    func launch(
        _ blocks: UInt32, _ stream: CUstream?, _ parameters: UnsafeMutableRawPointer
    ) -> CUresult {
        if kernel.product != nil {
            // The copy engine's maps are at multiples of 64 bytes. Where that puts the parameters among the driver's own
            // is for the driver to say.
            return withUnsafeTemporaryAllocation(of: UnsafeMutableRawPointer?.self, capacity: 1) { list in
                list[0] = parameters
                return launch(blocks, stream, list.baseAddress, nil)
            }
        }
        var bytes = layout.byteCount
        return withUnsafeMutablePointer(to: &bytes) { bytes in
            // Keys and their values in turn; the keys are small numbers in the place of pointers.
            withUnsafeTemporaryAllocation(of: UnsafeMutableRawPointer?.self, capacity: 5) { extra in
                extra[0] = UnsafeMutableRawPointer(bitPattern: UInt(CU_LAUNCH_PARAM_BUFFER_POINTER))
                extra[1] = parameters
                extra[2] = UnsafeMutableRawPointer(bitPattern: UInt(CU_LAUNCH_PARAM_BUFFER_SIZE))
                extra[3] = UnsafeMutableRawPointer(bytes)
                extra[4] = nil
                return launch(blocks, stream, nil, extra.baseAddress)
            }
        }
    }

    /// With the parameters as a list of pointers, or as one block.
    private func launch(
        _ blocks: UInt32, _ stream: CUstream?, _ list: UnsafeMutablePointer<UnsafeMutableRawPointer?>?,
        _ block: UnsafeMutablePointer<UnsafeMutableRawPointer?>?
    ) -> CUresult {
        kernel.clusterBlocks > 1 || launchesEarly
            ? launchWithAttributes(blocks, stream, list, block)
            : context.functions.launch(
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
