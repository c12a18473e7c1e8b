import CCUDA
import Platform

/// The driver's functions that this package calls, resolved once.
///
/// Owner: the ``CUDADriver``. Any thread may call any of them. Nothing to clean up: the library stays loaded.
struct CUDAFunctions: Sendable {
    let initialise: CUDAInit
    let driverVersion: CUDADriverGetVersion
    let errorName: CUDAGetErrorText
    let errorText: CUDAGetErrorText

    let deviceCount: CUDADeviceGetCount
    let device: CUDADeviceGet
    let deviceName: CUDADeviceGetName
    let deviceMemory: CUDADeviceTotalMemory
    let deviceAttribute: CUDADeviceGetAttribute

    let retainPrimaryContext: CUDAPrimaryContextRetain
    let currentContext: CUDAContextGetCurrent
    let pushContext: CUDAContextPush
    let popContext: CUDAContextPop

    let createStream: CUDAStreamCreate
    let destroyStream: CUDAStreamCall
    let synchronizeStream: CUDAStreamCall
    let isCapturing: CUDAStreamIsCapturing
    let waitForEvent: CUDAStreamWaitEvent

    let beginCapture: CUDAStreamBeginCapture
    let endCapture: CUDAStreamEndCapture
    let exchangeCaptureMode: CUDAThreadExchangeCaptureMode
    let instantiateGraph: CUDAGraphInstantiate
    let launchGraph: CUDAGraphLaunch
    let destroyGraph: CUDAGraphDestroy
    let destroyGraphInstance: CUDAGraphInstanceDestroy

    let createEvent: CUDAEventCreate
    let destroyEvent: CUDAEventCall
    let recordEvent: CUDAEventRecord
    let synchronizeEvent: CUDAEventCall
    let elapsedTime: CUDAEventElapsedTime

    let loadModule: CUDAModuleLoad
    let unloadModule: CUDAModuleUnload
    let moduleFunction: CUDAModuleGetFunction
    let functionAttribute: CUDAFunctionGetAttribute
    let setFunctionAttribute: CUDAFunctionSetAttribute
    let launch: CUDALaunch
    let launchWithAttributes: CUDALaunchWithAttributes
    let encodeTensorMap: CUDATensorMapEncode

    let allocate: CUDAAllocate
    let free: CUDAFree
    let memoryInfo: CUDAMemoryInfo
    let allocateHost: CUDAHostAllocate
    let freeHost: CUDAHostFree
    let copyToDevice: CUDACopyToDevice
    let copyToHost: CUDACopyToHost
    let copyOnDevice: CUDACopyOnDevice
    let copyToPeer: CUDACopyToPeer
    let fill: CUDAFill
    let fillRows: CUDAFillRows

    /// - Parameter resolve: the address of an exported symbol.
    /// - Throws: `MissingSymbol` for the first one that is not there.
    init(_ resolve: @escaping (String) -> UnsafeMutableRawPointer?) throws(MissingSymbol) {
        let symbols = SymbolTable(resolve: resolve)
        initialise = try symbols.find("cuInit")
        driverVersion = try symbols.find("cuDriverGetVersion")
        errorName = try symbols.find("cuGetErrorName")
        errorText = try symbols.find("cuGetErrorString")
        deviceCount = try symbols.find("cuDeviceGetCount")
        device = try symbols.find("cuDeviceGet")
        deviceName = try symbols.find("cuDeviceGetName")
        deviceMemory = try symbols.find("cuDeviceTotalMem_v2")
        deviceAttribute = try symbols.find("cuDeviceGetAttribute")
        retainPrimaryContext = try symbols.find("cuDevicePrimaryCtxRetain")
        currentContext = try symbols.find("cuCtxGetCurrent")
        pushContext = try symbols.find("cuCtxPushCurrent_v2")
        popContext = try symbols.find("cuCtxPopCurrent_v2")
        createStream = try symbols.find("cuStreamCreate")
        destroyStream = try symbols.find("cuStreamDestroy_v2")
        synchronizeStream = try symbols.find("cuStreamSynchronize")
        isCapturing = try symbols.find("cuStreamIsCapturing")
        waitForEvent = try symbols.find("cuStreamWaitEvent")
        beginCapture = try symbols.find("cuStreamBeginCapture_v2")
        endCapture = try symbols.find("cuStreamEndCapture")
        exchangeCaptureMode = try symbols.find("cuThreadExchangeStreamCaptureMode")
        instantiateGraph = try symbols.find("cuGraphInstantiateWithFlags")
        launchGraph = try symbols.find("cuGraphLaunch")
        destroyGraph = try symbols.find("cuGraphDestroy")
        destroyGraphInstance = try symbols.find("cuGraphExecDestroy")
        createEvent = try symbols.find("cuEventCreate")
        destroyEvent = try symbols.find("cuEventDestroy_v2")
        recordEvent = try symbols.find("cuEventRecord")
        synchronizeEvent = try symbols.find("cuEventSynchronize")
        elapsedTime = try symbols.find("cuEventElapsedTime")
        loadModule = try symbols.find("cuModuleLoadDataEx")
        unloadModule = try symbols.find("cuModuleUnload")
        moduleFunction = try symbols.find("cuModuleGetFunction")
        functionAttribute = try symbols.find("cuFuncGetAttribute")
        setFunctionAttribute = try symbols.find("cuFuncSetAttribute")
        launch = try symbols.find("cuLaunchKernel")
        launchWithAttributes = try symbols.find("cuLaunchKernelEx")
        encodeTensorMap = try symbols.find("cuTensorMapEncodeTiled")
        allocate = try symbols.find("cuMemAlloc_v2")
        free = try symbols.find("cuMemFree_v2")
        memoryInfo = try symbols.find("cuMemGetInfo_v2")
        allocateHost = try symbols.find("cuMemHostAlloc")
        freeHost = try symbols.find("cuMemFreeHost")
        copyToDevice = try symbols.find("cuMemcpyHtoDAsync_v2")
        copyToHost = try symbols.find("cuMemcpyDtoHAsync_v2")
        copyOnDevice = try symbols.find("cuMemcpyDtoDAsync_v2")
        copyToPeer = try symbols.find("cuMemcpyPeerAsync")
        fill = try symbols.find("cuMemsetD8Async")
        fillRows = try symbols.find("cuMemsetD2D8Async")
    }
}
