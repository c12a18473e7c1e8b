#include "Fake.h"

#include <CNCCL.h>

FakeCUDAState state;

static struct CUctx_st {
    int unused;
} primary, foreign;

static _Thread_local CUcontext stack[16];
static _Thread_local int depth;

FakeCUDAState *fake_cuda_state(void) { return &state; }

void fake_cuda_reset(void) {
    memset(&state, 0, sizeof state);
    state.driver_version = 13000;
    state.memory_limit = (size_t)1 << 30;
    state.threads_per_block = 512;
    state.compute_capability = 90;
    state.cudnn_version = 91900;
    state.graph_workspace = 4096;
}

void fake_cuda_enter_foreign_context(void) { stack[depth++] = &foreign; }
int32_t fake_cuda_is_in_foreign_context(void) { return depth > 0 && stack[depth - 1] == &foreign; }
void fake_cuda_leave_foreign_context(void) { depth -= 1; }

static CUresult init(uint32_t flags) { return flags == 0 ? 0 : 1; }

static CUresult driverVersion(int32_t *version) {
    *version = state.driver_version;
    return 0;
}

static CUresult errorName(CUresult code, const char **text) {
    *text = code == 2 ? "CUDA_ERROR_OUT_OF_MEMORY" : code == 218 ? "CUDA_ERROR_INVALID_PTX" : "CUDA_ERROR_OTHER";
    return 0;
}

static CUresult errorText(CUresult code, const char **text) {
    if (code == 999) return 1;
    *text = "what the driver says";
    return 0;
}

static CUresult deviceCount(int32_t *count) {
    *count = 1;
    return 0;
}

static CUresult device(CUdevice *device, int32_t ordinal) {
    *device = 7;
    return ordinal == 0 ? 0 : 101;
}

static CUresult deviceName(char *name, int32_t length, CUdevice device) {
    snprintf(name, (size_t)length, "Fake GPU");
    return device == 7 ? 0 : 101;
}

static CUresult deviceMemory(size_t *bytes, CUdevice device) {
    *bytes = state.memory_limit;
    return device == 7 ? 0 : 101;
}

static CUresult deviceAttribute(int32_t *value, CUdevice_attribute attribute, CUdevice device) {
    switch (attribute) {
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR: *value = state.compute_capability / 10; break;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR: *value = state.compute_capability % 10; break;
    case CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK: *value = 1024; break;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK: *value = 49152; break;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN: *value = 232448; break;
    case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT: *value = 132; break;
    case CU_DEVICE_ATTRIBUTE_CLUSTER_LAUNCH: *value = 1; break;
    default: *value = 0;
    }
    return device == 7 ? 0 : 101;
}

static CUresult retainPrimary(CUcontext *context, CUdevice device) {
    *context = &primary;
    return device == 7 ? 0 : 101;
}

static CUresult currentContext(CUcontext *context) {
    *context = depth > 0 ? stack[depth - 1] : NULL;
    return 0;
}

static CUresult pushContext(CUcontext context) {
    stack[depth++] = context;
    state.contexts_pushed += 1;
    return 0;
}

static CUresult popContext(CUcontext *context) {
    if (depth == 0) return 201;
    *context = stack[--depth];
    state.contexts_popped += 1;
    return 0;
}

static CUresult createStream(CUstream *stream, uint32_t flags) {
    NEEDS_CONTEXT;
    *stream = malloc(1);
    return flags == CU_STREAM_NON_BLOCKING ? 0 : 1;
}

static CUresult destroyStream(CUstream stream) {
    free(stream);
    return 0;
}

static CUresult synchronizeStream(CUstream stream) {
    NEEDS_CONTEXT;
    (void)stream;
    if (fake_forbids_waiting()) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    state.synchronizations += 1;
    return state.stream_result;
}

CUresult fake_current_context(CUcontext *context) { return currentContext(context); }

int32_t fake_is_context(CUcontext context) { return context == &primary; }

int32_t fake_has_context(void) { return depth > 0 && fake_is_context(stack[depth - 1]); }

struct CUevent_st {
    /// That it was last recorded in.
    CUstream stream;
};

static CUresult waitForEvent(CUstream stream, CUevent event, uint32_t flags) {
    NEEDS_CONTEXT;
    // A driver would let the stream go on at an event that was never recorded, or in the same stream: a mistake here.
    if (!stream || !event || flags != 0 || !event->stream || event->stream == stream) return 1;
    if (state.waits < 8) {
        state.waiting[state.waits] = stream;
        state.waited_for[state.waits] = event->stream;
    }
    state.waits += 1;
    return 0;
}

static CUresult createEvent(CUevent *event, uint32_t flags) {
    NEEDS_CONTEXT;
    (void)flags;
    *event = calloc(1, sizeof **event);
    return 0;
}

static CUresult destroyEvent(CUevent event) {
    free(event);
    return 0;
}

static CUresult recordEvent(CUevent event, CUstream stream) {
    NEEDS_CONTEXT;
    if (event) event->stream = stream;
    return event ? 0 : 1;
}

static CUresult synchronizeEvent(CUevent event) {
    NEEDS_CONTEXT;
    return event ? 0 : 1;
}

static CUresult elapsedTime(float *milliseconds, CUevent start, CUevent end) {
    NEEDS_CONTEXT;
    *milliseconds = 0.5f;
    return start && end ? 0 : 1;
}

static CUresult loadModule(
    CUmodule *module, const void *image, uint32_t count, CUjit_option *options, void **values) {
    NEEDS_CONTEXT;
    TAKES;
    if (state.compile_log) {
        for (uint32_t i = 0; i + 1 < count; i++) {
            if (options[i] == CU_JIT_ERROR_LOG_BUFFER && options[i + 1] == CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES)
                snprintf(values[i], (size_t)values[i + 1], "%s", state.compile_log);
        }
        return CUDA_ERROR_INVALID_PTX;
    }
    state.modules_loaded += 1;
    if (state.sees_module) state.sees_module(image);
    *module = malloc(strlen(image) + 1);
    strcpy((char *)*module, image);
    return 0;
}

static CUresult unloadModule(CUmodule module) {
    NEEDS_CONTEXT;
    free(module);
    return 0;
}

static CUresult moduleFunction(CUfunction *function, CUmodule module, const char *name) {
    NEEDS_CONTEXT;
    if (!strstr((const char *)module, name)) return CUDA_ERROR_NOT_FOUND;
    *function = malloc(sizeof(struct CUfunc_st));
    snprintf((*function)->name, sizeof (*function)->name, "%s", name);
    return 0;
}

static CUresult functionAttribute(int32_t *value, CUfunction_attribute attribute, CUfunction function) {
    NEEDS_CONTEXT;
    switch (attribute) {
    case CU_FUNC_ATTRIBUTE_NUM_REGS: *value = 40; break;
    case CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES: *value = state.local_bytes; break;
    case CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK: *value = state.threads_per_block; break;
    default: *value = 0;
    }
    return function ? 0 : 1;
}

static CUresult setFunctionAttribute(CUfunction function, CUfunction_attribute attribute, int32_t value) {
    NEEDS_CONTEXT;
    if (attribute == CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES) state.shared_bytes_allowed = value;
    if (attribute == CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED) state.wide_clusters_allowed = value;
    return function ? 0 : 1;
}

// negate: views x and y of rank 1 and f32; y = -x. fail: notes message 1, program 7, value 42.
static void perform(CUfunction function, int64_t programs) {
    const uint8_t *p = state.parameters;
    if (strcmp(function->name, "negate") == 0) {
        float *x, *y;
        int64_t xStride, yStride;
        memcpy(&x, p, 8);
        memcpy(&xStride, p + 16, 8);
        memcpy(&y, p + 24, 8);
        memcpy(&yStride, p + 40, 8);
        for (int64_t i = 0; i < programs; i++) y[i * yStride] = -x[i * xStride];
    }
    if (strcmp(function->name, "fail") == 0) {
        int64_t *record;
        memcpy(&record, p + state.parameter_bytes - 8, 8);
        record[0] = 2;
        record[1] = 7;
        record[2] = 42;
    }
}

void fake_perform_launch(CUfunction function) {
    state.launches += 1;
    int64_t programs;
    memcpy(&programs, state.parameters + state.parameter_bytes - 16, 8);
    if (state.performs) {
        state.performs(function, function->name, state.parameters, state.parameter_bytes);
    } else {
        perform(function, programs);
    }
}

static CUresult launchAny(CUfunction function, void **parameters, void **extra) {
    NEEDS_CONTEXT;
    if (parameters) {
        // A product's: of one block of bytes, whose size is not known here, the address of the first array is kept.
        if (extra) return 1;
        state.parameter_bytes = 24;
        memset(state.parameters, 0, state.parameter_bytes);
        memcpy(state.parameters, parameters[0], 8);
        if (!fake_capture_launch(function)) fake_perform_launch(function);
        return 0;
    }
    if (extra[0] != (void *)1 || extra[2] != (void *)2 || extra[4] != NULL) return 1;
    state.parameter_bytes = *(size_t *)extra[3];
    if (state.parameter_bytes > sizeof state.parameters) return 1;
    memcpy(state.parameters, extra[1], state.parameter_bytes);
    if (fake_capture_launch(function)) return 0;
    fake_perform_launch(function);
    return 0;
}

static CUresult launch(
    CUfunction function, uint32_t gridX, uint32_t gridY, uint32_t gridZ, uint32_t blockX, uint32_t blockY,
    uint32_t blockZ, uint32_t sharedBytes, CUstream stream, void **parameters, void **extra) {
    if (gridY != 1 || gridZ != 1 || blockY != 1 || blockZ != 1) return 1;
    state.grid = gridX;
    state.block = blockX;
    state.shared_bytes = sharedBytes;
    state.cluster = 1;
    state.launched_early = 0;
    state.stream = stream;
    return launchAny(function, parameters, extra);
}

static CUresult launchWithAttributes(
    const CUlaunchConfig *config, CUfunction function, void **parameters, void **extra) {
    uint32_t cluster = 1, early = 0;
    if (config->numAttrs < 1) return 1;
    for (uint32_t i = 0; i < config->numAttrs; i++) {
        const CUlaunchAttribute *attribute = &config->attrs[i];
        if (attribute->id == CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION) {
            if (attribute->cluster.y != 1 || attribute->cluster.z != 1) return 1;
            cluster = attribute->cluster.x;
        } else if (attribute->id == CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION) {
            early = (uint32_t)attribute->waitsItself;
        } else {
            return 1;
        }
    }
    CUresult result = launch(
        function, config->gridDimX, config->gridDimY, config->gridDimZ, config->blockDimX, config->blockDimY,
        config->blockDimZ, config->sharedMemBytes, config->hStream, parameters, extra);
    state.cluster = cluster;
    state.launched_early = early;
    return config->gridDimX % state.cluster == 0 ? result : CUDA_ERROR_INVALID_CLUSTER_SIZE;
}

// A map that can be read: address, sizes, row bytes, box.
static CUresult encodeTensorMap(
    CUtensorMap *map, int32_t dataType, uint32_t rank, void *address, const uint64_t *sizes,
    const uint64_t *strides, const uint32_t *box, const uint32_t *elementStrides, int32_t interleave,
    int32_t swizzle, int32_t promotion, int32_t fillsWithNaN) {
    if ((uintptr_t)map % 64 != 0 || rank != 2 || (uintptr_t)address % 16 != 0 || strides[0] % 16 != 0) return 1;
    if (box[0] * 2 > 128 || box[1] > 256 || elementStrides[0] != 1 || elementStrides[1] != 1) return 1;
    if (!sizes[0] || !sizes[1] || sizes[0] >> 32 || sizes[1] >> 32 || strides[0] >> 40 || !box[0] || !box[1]) return 1;
    if (interleave != 0 || swizzle != CU_TENSOR_MAP_SWIZZLE_128B || fillsWithNaN || promotion > 3) return 1;
    if (dataType != CU_TENSOR_MAP_DATA_TYPE_FLOAT16 && dataType != CU_TENSOR_MAP_DATA_TYPE_BFLOAT16) return 1;
    memset(map, 0, sizeof *map);
    map->opaque[0] = (uint64_t)(uintptr_t)address;
    map->opaque[1] = sizes[0];
    map->opaque[2] = sizes[1];
    map->opaque[3] = strides[0];
    map->opaque[4] = box[0];
    map->opaque[5] = box[1];
    return 0;
}

static const FakeSymbol symbols[] = {
    {"cuInit", init},
    {"cuDriverGetVersion", driverVersion},
    {"cuGetErrorName", errorName},
    {"cuGetErrorString", errorText},
    {"cuDeviceGetCount", deviceCount},
    {"cuDeviceGet", device},
    {"cuDeviceGetName", deviceName},
    {"cuDeviceTotalMem_v2", deviceMemory},
    {"cuDeviceGetAttribute", deviceAttribute},
    {"cuDevicePrimaryCtxRetain", retainPrimary},
    {"cuCtxGetCurrent", currentContext},
    {"cuCtxPushCurrent_v2", pushContext},
    {"cuCtxPopCurrent_v2", popContext},
    {"cuStreamCreate", createStream},
    {"cuStreamDestroy_v2", destroyStream},
    {"cuStreamSynchronize", synchronizeStream},
    {"cuStreamWaitEvent", waitForEvent},
    {"cuEventCreate", createEvent},
    {"cuEventDestroy_v2", destroyEvent},
    {"cuEventRecord", recordEvent},
    {"cuEventSynchronize", synchronizeEvent},
    {"cuEventElapsedTime", elapsedTime},
    {"cuModuleLoadDataEx", loadModule},
    {"cuModuleUnload", unloadModule},
    {"cuModuleGetFunction", moduleFunction},
    {"cuFuncGetAttribute", functionAttribute},
    {"cuFuncSetAttribute", setFunctionAttribute},
    {"cuLaunchKernel", launch},
    {"cuLaunchKernelEx", launchWithAttributes},
    {"cuTensorMapEncodeTiled", encodeTensorMap},
};

void *fake_cuda_symbol(const char *name) {
    void *address = fake_find(symbols, sizeof symbols / sizeof symbols[0], name);
    if (!address) address = fake_memory_symbol(name);
    if (!address) address = fake_captures_symbol(name);
    if (!address) address = fake_products_symbol(name);
    if (!address) address = fake_graphs_symbol(name);
    // Its memory is the host's, and its work is done when it is handed in.
    return address ? address : host_nccl_symbol(name);
}

void *fake_find(const FakeSymbol *symbols, size_t count, const char *name) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(symbols[i].name, name) == 0) return symbols[i].address;
    return NULL;
}
