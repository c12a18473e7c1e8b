#include "FakeHIP.h"

#include <CNCCL.h>

#include "../FakeCUDA/Fake.h"
#include "Parts.h"

FakeHIPState hip;

FakeHIPState *fake_hip_state(void) { return &hip; }

void fake_hip_reset(void) {
    fake_cuda_reset();
    memset(&hip, 0, sizeof hip);
    hip.runtime_version = 60400000;
    hip.devices = 1;
    hip.architecture = "gfx942:sramecc+:xnack-";
    hip.wave_threads = 64;
    hip.comgr_major = 2;
    hip.device = -1;
    state.threads_per_block = 1024;
}

static hipError_t init(uint32_t flags) { return flags == 0 ? 0 : 1; }

static hipError_t runtimeVersion(int32_t *version) {
    *version = hip.runtime_version;
    return 0;
}

static hipError_t deviceCount(int32_t *count) {
    *count = hip.devices;
    return hip.devices ? 0 : hipErrorNoDevice;
}

static hipError_t properties(HIPDeviceProperties *properties, int32_t ordinal) {
    if (ordinal < 0 || ordinal >= hip.devices) return hipErrorInvalidDevice;
    memset(properties, 0, sizeof *properties);
    snprintf(properties->name, sizeof properties->name, "Fake AMD GPU");
    snprintf(properties->gcnArchName, sizeof properties->gcnArchName, "%s", hip.architecture);
    properties->totalGlobalMem = state.memory_limit;
    properties->sharedMemPerBlock = 65536;
    properties->warpSize = hip.wave_threads;
    properties->maxThreadsPerBlock = 1024;
    properties->multiProcessorCount = 304;
    return 0;
}

// A device that is current is the fake driver's context; before one was chosen nothing works, so that a call outside of a
// device is seen.
static hipError_t currentDevice(int32_t *device) {
    *device = hip.device;
    return 0;
}

static hipError_t setDevice(int32_t device) {
    if (device >= hip.devices) return hipErrorInvalidDevice;
    int32_t (*push)(CUcontext) = fake_cuda_symbol("cuCtxPushCurrent_v2");
    int32_t (*pop)(CUcontext *) = fake_cuda_symbol("cuCtxPopCurrent_v2");
    int32_t (*retain)(CUcontext *, CUdevice) = fake_cuda_symbol("cuDevicePrimaryCtxRetain");
    CUcontext context = NULL;
    while (fake_has_context()) pop(&context);
    retain(&context, 7);
    if (device >= 0) push(context);
    hip.device = device;
    hip.devices_set += 1;
    return 0;
}

static const char *errorName(hipError_t code) {
    return code == 2 ? "hipErrorOutOfMemory" : code == hipErrorNoBinaryForGpu ? "hipErrorNoBinaryForGpu" : "hipErrorOther";
}

static const char *errorText(hipError_t code) { return code == 999 ? NULL : "what the runtime says"; }

// A module is its code: text of the fake comgr's, or a code object.
struct hipModuleOpaque {
    size_t bytes;
    uint8_t code[];
};

static size_t codeBytes(const uint8_t *image) {
    if (memcmp(image, "\177ELF", 4) != 0) return strlen((const char *)image);
    uint64_t sections;
    uint16_t size, count;
    memcpy(&sections, image + 40, 8);
    memcpy(&size, image + 58, 2);
    memcpy(&count, image + 60, 2);
    return sections + (size_t)size * count;
}

static hipError_t loadModule(hipModule_t *module, const void *image) {
    NEEDS_CONTEXT;
    if (memcmp(image, "damaged", 7) == 0) return hipErrorNoBinaryForGpu;
    size_t bytes = codeBytes(image);
    *module = malloc(sizeof **module + bytes);
    (*module)->bytes = bytes;
    memcpy((*module)->code, image, bytes);
    state.modules_loaded += 1;
    return 0;
}

static hipError_t moduleFunction(CUfunction *function, hipModule_t module, const char *name) {
    NEEDS_CONTEXT;
    size_t length = strlen(name);
    for (size_t i = 0; i + length <= module->bytes; i++) {
        if (memcmp(module->code + i, name, length) == 0) {
            *function = malloc(sizeof **function);
            snprintf((*function)->name, sizeof (*function)->name, "%s", name);
            return 0;
        }
    }
    return hipErrorNotFound;
}

static hipError_t launch(
    CUfunction function, uint32_t gridX, uint32_t gridY, uint32_t gridZ, uint32_t blockX, uint32_t blockY,
    uint32_t blockZ, uint32_t sharedBytes, CUstream stream, void **parameters, void **extra) {
    NEEDS_CONTEXT;
    if (gridY != 1 || gridZ != 1 || blockY != 1 || blockZ != 1 || parameters) return 1;
    if (extra[0] != (void *)1 || extra[2] != (void *)2 || extra[4] != (void *)HIP_LAUNCH_PARAM_END) return 1;
    if (blockX % (uint32_t)hip.wave_threads) return 1;
    state.grid = gridX;
    state.block = blockX;
    state.shared_bytes = sharedBytes;
    state.stream = stream;
    state.parameter_bytes = *(size_t *)extra[3];
    if (state.parameter_bytes > sizeof state.parameters) return 1;
    memcpy(state.parameters, extra[1], state.parameter_bytes);
    if (!fake_capture_launch(function)) fake_perform_launch(function);
    return 0;
}

static hipError_t allocateHost(void **address, size_t bytes, uint32_t flags) {
    int32_t (*allocate)(void **, size_t, uint32_t) = fake_cuda_symbol("cuMemHostAlloc");
    if (!(flags & hipHostMallocCoherent)) return 1;
    return allocate(address, bytes, flags & ~(uint32_t)hipHostMallocCoherent);
}

static hipError_t fillRows(
    uint64_t target, size_t pitch, int32_t value, size_t width, size_t height, hipStream_t stream) {
    int32_t (*fill)(CUdeviceptr, size_t, uint8_t, size_t, size_t, CUstream) = fake_cuda_symbol("cuMemsetD2D8Async");
    return fill(target, pitch, (uint8_t)value, width, height, (CUstream)stream);
}

static hipError_t copyToPeer(
    uint64_t target, int32_t targetDevice, uint64_t source, int32_t sourceDevice, size_t bytes,
    hipStream_t stream) {
    int32_t (*copy)(CUdeviceptr, CUdeviceptr, size_t, CUstream) = fake_cuda_symbol("cuMemcpyDtoDAsync_v2");
    if (targetDevice >= hip.devices || sourceDevice >= hip.devices) return hipErrorInvalidDevice;
    return copy(target, source, bytes, (CUstream)stream);
}

static const FakeSymbol symbols[] = {
    {"hipInit", init},
    {"hipRuntimeGetVersion", runtimeVersion},
    {"hipGetDeviceCount", deviceCount},
    {"hipGetDevicePropertiesR0600", properties},
    {"hipGetDevice", currentDevice},
    {"hipSetDevice", setDevice},
    {"hipGetErrorName", errorName},
    {"hipGetErrorString", errorText},
    {"hipModuleLoadData", loadModule},
    {"hipModuleGetFunction", moduleFunction},
    {"hipModuleLaunchKernel", launch},
    {"hipHostMalloc", allocateHost},
    {"hipMemset2DAsync", fillRows},
    {"hipMemcpyPeerAsync", copyToPeer},
};

// What differs in its name alone.
static const char *const same[][2] = {
    {"hipStreamCreateWithFlags", "cuStreamCreate"},
    {"hipStreamDestroy", "cuStreamDestroy_v2"},
    {"hipStreamSynchronize", "cuStreamSynchronize"},
    {"hipStreamIsCapturing", "cuStreamIsCapturing"},
    {"hipStreamWaitEvent", "cuStreamWaitEvent"},
    {"hipStreamBeginCapture", "cuStreamBeginCapture_v2"},
    {"hipStreamEndCapture", "cuStreamEndCapture"},
    {"hipThreadExchangeStreamCaptureMode", "cuThreadExchangeStreamCaptureMode"},
    {"hipGraphInstantiateWithFlags", "cuGraphInstantiateWithFlags"},
    {"hipGraphLaunch", "cuGraphLaunch"},
    {"hipGraphDestroy", "cuGraphDestroy"},
    {"hipGraphExecDestroy", "cuGraphExecDestroy"},
    {"hipEventCreateWithFlags", "cuEventCreate"},
    {"hipEventDestroy", "cuEventDestroy_v2"},
    {"hipEventRecord", "cuEventRecord"},
    {"hipEventSynchronize", "cuEventSynchronize"},
    {"hipEventElapsedTime", "cuEventElapsedTime"},
    {"hipModuleUnload", "cuModuleUnload"},
    {"hipFuncGetAttribute", "cuFuncGetAttribute"},
    {"hipMalloc", "cuMemAlloc_v2"},
    {"hipFree", "cuMemFree_v2"},
    {"hipMemGetInfo", "cuMemGetInfo_v2"},
    {"hipMemcpyHtoDAsync", "cuMemcpyHtoDAsync_v2"},
    {"hipMemcpyDtoHAsync", "cuMemcpyDtoHAsync_v2"},
    {"hipMemcpyDtoDAsync", "cuMemcpyDtoDAsync_v2"},
    {"hipMemsetD8Async", "cuMemsetD8Async"},
};

void *fake_hip_symbol(const char *name) {
    void *address = fake_find(symbols, sizeof symbols / sizeof symbols[0], name);
    for (size_t i = 0; !address && i < sizeof same / sizeof same[0]; i++)
        if (strcmp(same[i][0], name) == 0) address = fake_cuda_symbol(same[i][1]);
    if (!address) address = fake_comgr_symbol(name);
    if (!address) address = fake_hipblaslt_symbol(name);
    // RCCL's: its memory is the host's, and its work is done when it is handed in.
    return address ? address : host_nccl_symbol(name);
}
