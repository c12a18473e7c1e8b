import CCUDA
import LigerGPU
import Platform

/// The driver's functions that this package calls, resolved once.
///
/// Owner: the ``CUDADriver``. Any thread may call any of them. Nothing to clean up: the library stays loaded.
struct CUDAFunctions: Sendable {
    /// Those that other makers' drivers have too.
    let gpu: GPUFunctions

    let initialise: CUDAInit
    let driverVersion: CUDADriverGetVersion

    let deviceCount: CUDADeviceGetCount
    let device: CUDADeviceGet
    let deviceName: CUDADeviceGetName
    let deviceMemory: CUDADeviceTotalMemory
    let deviceAttribute: CUDADeviceGetAttribute

    let retainPrimaryContext: CUDAPrimaryContextRetain
    let currentContext: CUDAContextGetCurrent
    let pushContext: CUDAContextPush
    let popContext: CUDAContextPop

    let loadModule: CUDAModuleLoad
    let setFunctionAttribute: CUDAFunctionSetAttribute
    let launchWithAttributes: CUDALaunchWithAttributes
    let encodeTensorMap: CUDATensorMapEncode
    let copyToPeer: CUDACopyToPeer

    /// - Parameter resolve: the address of an exported symbol.
    /// - Throws: `MissingSymbol` for the first one that is not there.
    init(_ resolve: @escaping (String) -> UnsafeMutableRawPointer?) throws(MissingSymbol) {
        let symbols = SymbolTable(resolve: resolve)
        let errorName: CUDAGetErrorText = try symbols.find("cuGetErrorName")
        let errorText: CUDAGetErrorText = try symbols.find("cuGetErrorString")
        let fillRows: CUDAFillRows = try symbols.find("cuMemsetD2D8Async")
        gpu = try GPUFunctions(
            maker: "CUDA", symbols, Self.names,
            pinned: UInt32(CU_MEMHOSTALLOC_PORTABLE | CU_MEMHOSTALLOC_DEVICEMAP),
            fillRows: { fillRows($0, $1, $2, $3, $4, $5) },
            explain: { code in
                GPUFunctions.Explanation(
                    name: Self.text(errorName, code), meaning: Self.text(errorText, code),
                    advice: Self.advice(code))
            })
        initialise = try symbols.find("cuInit")
        driverVersion = try symbols.find("cuDriverGetVersion")
        deviceCount = try symbols.find("cuDeviceGetCount")
        device = try symbols.find("cuDeviceGet")
        deviceName = try symbols.find("cuDeviceGetName")
        deviceMemory = try symbols.find("cuDeviceTotalMem_v2")
        deviceAttribute = try symbols.find("cuDeviceGetAttribute")
        retainPrimaryContext = try symbols.find("cuDevicePrimaryCtxRetain")
        currentContext = try symbols.find("cuCtxGetCurrent")
        pushContext = try symbols.find("cuCtxPushCurrent_v2")
        popContext = try symbols.find("cuCtxPopCurrent_v2")
        loadModule = try symbols.find("cuModuleLoadDataEx")
        setFunctionAttribute = try symbols.find("cuFuncSetAttribute")
        launchWithAttributes = try symbols.find("cuLaunchKernelEx")
        encodeTensorMap = try symbols.find("cuTensorMapEncodeTiled")
        copyToPeer = try symbols.find("cuMemcpyPeerAsync")
    }

    /// By what they are called in ``GPUFunctions``.
    private static let names = [
        "createStream": "cuStreamCreate", "destroyStream": "cuStreamDestroy_v2",
        "synchronizeStream": "cuStreamSynchronize", "isCapturing": "cuStreamIsCapturing",
        "waitForEvent": "cuStreamWaitEvent", "beginCapture": "cuStreamBeginCapture_v2",
        "endCapture": "cuStreamEndCapture", "exchangeCaptureMode": "cuThreadExchangeStreamCaptureMode",
        "instantiateGraph": "cuGraphInstantiateWithFlags",
        "launchGraph": "cuGraphLaunch", "destroyGraph": "cuGraphDestroy",
        "destroyGraphInstance": "cuGraphExecDestroy", "createEvent": "cuEventCreate",
        "destroyEvent": "cuEventDestroy_v2", "recordEvent": "cuEventRecord",
        "synchronizeEvent": "cuEventSynchronize", "elapsedTime": "cuEventElapsedTime",
        "unloadModule": "cuModuleUnload", "moduleFunction": "cuModuleGetFunction",
        "functionAttribute": "cuFuncGetAttribute", "launch": "cuLaunchKernel", "allocate": "cuMemAlloc_v2",
        "free": "cuMemFree_v2", "memoryInfo": "cuMemGetInfo_v2", "allocateHost": "cuMemHostAlloc",
        "copyToDevice": "cuMemcpyHtoDAsync_v2", "copyToHost": "cuMemcpyDtoHAsync_v2",
        "copyOnDevice": "cuMemcpyDtoDAsync_v2", "fill": "cuMemsetD8Async",
    ]

    private static func text(_ get: CUDAGetErrorText, _ code: CUresult) -> String? {
        var pointer: UnsafePointer<CChar>?
        guard get(code, &pointer) == CUDA_SUCCESS else { return nil }
        return pointer.map { String(cString: $0) }
    }
}
