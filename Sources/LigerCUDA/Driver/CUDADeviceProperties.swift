import CCUDA
import LigerGPU

/// What a GPU is and offers: what schedules and messages are made from.
package struct CUDADeviceProperties: Sendable, Hashable {
    /// The driver's number of it, 0 for `cuda:0`.
    package var ordinal: Int
    /// Such as `NVIDIA H200`.
    package var name: String
    /// 9 and 0 for sm_90.
    package var major: Int
    package var minor: Int
    package var multiprocessors: Int
    package var maximumThreadsPerBlock: Int
    package var maximumThreadsPerMultiprocessor: Int
    package var registersPerMultiprocessor: Int
    /// What a block has without asking, what it may ask for, and what all blocks of a multiprocessor share.
    package var sharedBytesPerBlock: Int
    package var largestSharedBytesPerBlock: Int
    package var sharedBytesPerMultiprocessor: Int
    package var cacheBytes: Int
    package var memoryBytes: Int
    package var runsClusters: Bool

    /// 90 for sm_90.
    package var target: Int { 10 * major + minor }

    package init(
        ordinal: Int, name: String, major: Int, minor: Int, multiprocessors: Int,
        maximumThreadsPerBlock: Int = 1024, maximumThreadsPerMultiprocessor: Int,
        registersPerMultiprocessor: Int = 65_536, sharedBytesPerBlock: Int = 48 << 10,
        largestSharedBytesPerBlock: Int, sharedBytesPerMultiprocessor: Int, cacheBytes: Int,
        memoryBytes: Int, runsClusters: Bool
    ) {
        self.ordinal = ordinal
        self.name = name
        self.major = major
        self.minor = minor
        self.multiprocessors = multiprocessors
        self.maximumThreadsPerBlock = maximumThreadsPerBlock
        self.maximumThreadsPerMultiprocessor = maximumThreadsPerMultiprocessor
        self.registersPerMultiprocessor = registersPerMultiprocessor
        self.sharedBytesPerBlock = sharedBytesPerBlock
        self.largestSharedBytesPerBlock = largestSharedBytesPerBlock
        self.sharedBytesPerMultiprocessor = sharedBytesPerMultiprocessor
        self.cacheBytes = cacheBytes
        self.memoryBytes = memoryBytes
        self.runsClusters = runsClusters
    }

    /// Asks the driver, without making a context.
    init(_ driver: CUDADriver, device: CUdevice, ordinal: Int) throws(GPUError) {
        let functions = driver.functions
        func ask(_ attribute: CUdevice_attribute) throws(GPUError) -> Int {
            var value: Int32 = 0
            try functions.gpu.check(
                functions.deviceAttribute(&value, attribute, device), "asking cuda:\(ordinal) for its limits")
            return Int(value)
        }
        var text = [CChar](repeating: 0, count: 256)
        try functions.gpu.check(
            functions.deviceName(&text, Int32(text.count), device), "asking cuda:\(ordinal) for its name")
        var bytes = 0
        try functions.gpu.check(
            functions.deviceMemory(&bytes, device), "asking cuda:\(ordinal) for its memory")
        self.init(
            ordinal: ordinal,
            name: String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self),
            major: try ask(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR),
            minor: try ask(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR),
            multiprocessors: try ask(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT),
            maximumThreadsPerBlock: try ask(CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK),
            maximumThreadsPerMultiprocessor: try ask(CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR),
            registersPerMultiprocessor: try ask(CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_MULTIPROCESSOR),
            sharedBytesPerBlock: try ask(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK),
            largestSharedBytesPerBlock: try ask(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN),
            sharedBytesPerMultiprocessor: try ask(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR),
            cacheBytes: try ask(CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE), memoryBytes: bytes,
            runsClusters: try ask(CU_DEVICE_ATTRIBUTE_CLUSTER_LAUNCH) != 0)
    }
}
