import CHIP
import LigerGPU
import Platform

/// The runtime's functions that this package calls, resolved once.
///
/// Owner: the ``HIPDriver``. Any thread may call any of them. Nothing to clean up: the library stays loaded.
struct HIPFunctions: Sendable {
    /// Those that other makers' drivers have too.
    let gpu: GPUFunctions

    let initialise: HIPInit
    let runtimeVersion: HIPGetInteger
    let deviceCount: HIPGetInteger
    let properties: HIPGetProperties
    let currentDevice: HIPGetInteger
    let setDevice: HIPSetDevice
    let loadModule: HIPModuleLoad
    let copyToPeer: HIPCopyToPeer

    /// - Parameter resolve: the address of an exported symbol.
    /// - Throws: `MissingSymbol` for the first one that is not there.
    init(_ resolve: @escaping (String) -> UnsafeMutableRawPointer?) throws(MissingSymbol) {
        let symbols = SymbolTable(resolve: resolve)
        let errorName: HIPGetText = try symbols.find("hipGetErrorName")
        let errorText: HIPGetText = try symbols.find("hipGetErrorString")
        let fillRows: HIPFillRows = try symbols.find("hipMemset2DAsync")
        gpu = try GPUFunctions(
            maker: "HIP", symbols, Self.names,
            pinned: UInt32(hipHostMallocPortable | hipHostMallocMapped | hipHostMallocCoherent),
            fillRows: { fillRows($0, $1, Int32($2), $3, $4, $5) },
            explain: { code in
                GPUFunctions.Explanation(
                    name: errorName(code).map { String(cString: $0) },
                    meaning: errorText(code).map { String(cString: $0) }, advice: Self.advice(code))
            })
        initialise = try symbols.find("hipInit")
        runtimeVersion = try symbols.find("hipRuntimeGetVersion")
        deviceCount = try symbols.find("hipGetDeviceCount")
        properties = try symbols.find("hipGetDevicePropertiesR0600")
        currentDevice = try symbols.find("hipGetDevice")
        setDevice = try symbols.find("hipSetDevice")
        loadModule = try symbols.find("hipModuleLoadData")
        copyToPeer = try symbols.find("hipMemcpyPeerAsync")
    }

    /// By what they are called in ``GPUFunctions``.
    private static let names = [
        "createStream": "hipStreamCreateWithFlags", "destroyStream": "hipStreamDestroy",
        "synchronizeStream": "hipStreamSynchronize", "isCapturing": "hipStreamIsCapturing",
        "waitForEvent": "hipStreamWaitEvent", "beginCapture": "hipStreamBeginCapture",
        "endCapture": "hipStreamEndCapture", "exchangeCaptureMode": "hipThreadExchangeStreamCaptureMode",
        "instantiateGraph": "hipGraphInstantiateWithFlags",
        "launchGraph": "hipGraphLaunch", "destroyGraph": "hipGraphDestroy",
        "destroyGraphInstance": "hipGraphExecDestroy", "createEvent": "hipEventCreateWithFlags",
        "destroyEvent": "hipEventDestroy", "recordEvent": "hipEventRecord",
        "synchronizeEvent": "hipEventSynchronize", "elapsedTime": "hipEventElapsedTime",
        "unloadModule": "hipModuleUnload", "moduleFunction": "hipModuleGetFunction",
        "functionAttribute": "hipFuncGetAttribute", "launch": "hipModuleLaunchKernel",
        "allocate": "hipMalloc", "free": "hipFree", "memoryInfo": "hipMemGetInfo",
        "allocateHost": "hipHostMalloc", "copyToDevice": "hipMemcpyHtoDAsync",
        "copyToHost": "hipMemcpyDtoHAsync", "copyOnDevice": "hipMemcpyDtoDAsync", "fill": "hipMemsetD8Async",
    ]

    /// What to do about known causes.
    static func advice(_ code: hipError_t) -> String? {
        switch code {
        case hipErrorOutOfMemory:
            "Use a smaller batch or sequence, or end other processes on the GPU (rocm-smi --showpids lists them)"
        case hipErrorNoDevice:
            "The runtime sees no GPU: check rocm-smi, HIP_VISIBLE_DEVICES and the rights to /dev/kfd"
        case hipErrorInvalidDevice: "Name one of the devices that `liger doctor` lists"
        case hipErrorInsufficientDriver: "The kernel's amdgpu driver is older than ROCm: update it"
        case hipErrorInvalidImage, hipErrorNoBinaryForGpu, hipErrorInvalidKernelFile:
            "The code object is wrong for this GPU: please report it with the text below"
        case hipErrorIllegalAddress, hipErrorLaunchFailure:
            "An earlier kernel is at fault and the GPU cannot be used further by this process: run again with "
                + "LIGER_STRICT=1 to see which"
        case hipErrorLaunchOutOfResources:
            "The kernel needs more registers or shared memory than a block has: please report it"
        case hipErrorStreamCaptureUnsupported, hipErrorStreamCaptureInvalidated:
            "While a graph is captured nothing may wait for the GPU or take new memory: run the step once before"
        default: nil
        }
    }
}
