#include "Fake.h"

// A block's size lies in front of it.
static CUresult allocate(CUdeviceptr *address, size_t bytes) {
    NEEDS_CONTEXT;
    TAKES;
    if (bytes == 0) return 1;
    if (state.memory_used + bytes > state.memory_limit) return CUDA_ERROR_OUT_OF_MEMORY;
    uint8_t *block = aligned_alloc(256, (bytes + 511) / 256 * 256);
    memcpy(block, &bytes, sizeof bytes);
    memset(block + 256, 0xFF, bytes);
    state.memory_used += bytes;
    state.allocations += 1;
    *address = (CUdeviceptr)(block + 256);
    return 0;
}

static CUresult release(CUdeviceptr address) {
    NEEDS_CONTEXT;
    TAKES;
    uint8_t *block = (uint8_t *)address - 256;
    size_t bytes;
    memcpy(&bytes, block, sizeof bytes);
    state.memory_used -= bytes;
    state.frees += 1;
    free(block);
    return 0;
}

static CUresult memoryInfo(size_t *available, size_t *total) {
    NEEDS_CONTEXT;
    *available = state.memory_limit - state.memory_used;
    *total = state.memory_limit;
    return 0;
}

static CUresult allocateHost(void **address, size_t bytes, uint32_t flags) {
    NEEDS_CONTEXT;
    TAKES;
    *address = aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
    return flags == 3 ? 0 : 1;
}

static CUresult freeHost(void *address) {
    NEEDS_CONTEXT;
    free(address);
    return 0;
}

static CUresult copyToDevice(CUdeviceptr target, const void *source, size_t bytes, CUstream stream) {
    NEEDS_CONTEXT;
    (void)stream;
    memcpy((void *)target, source, bytes);
    return 0;
}

static CUresult copyToHost(void *target, CUdeviceptr source, size_t bytes, CUstream stream) {
    NEEDS_CONTEXT;
    (void)stream;
    memcpy(target, (void *)source, bytes);
    return 0;
}

static CUresult copyOnDevice(CUdeviceptr target, CUdeviceptr source, size_t bytes, CUstream stream) {
    if (fake_capture_copy((void *)target, (const void *)source, bytes)) return 0;
    return copyToHost((void *)target, source, bytes, stream);
}

static CUresult copyToPeer(
    CUdeviceptr target, CUcontext targetContext, CUdeviceptr source, CUcontext sourceContext, size_t bytes,
    CUstream stream) {
    if (!fake_is_context(targetContext) || !fake_is_context(sourceContext)) return 1;
    return copyToHost((void *)target, source, bytes, stream);
}

static CUresult fill(CUdeviceptr target, uint8_t value, size_t bytes, CUstream stream) {
    NEEDS_CONTEXT;
    (void)stream;
    if (fake_capture_fill((void *)target, value, bytes)) return 0;
    memset((void *)target, value, bytes);
    return 0;
}

static CUresult fillRows(
    CUdeviceptr target, size_t pitch, uint8_t value, size_t width, size_t height, CUstream stream) {
    NEEDS_CONTEXT;
    (void)stream;
    for (size_t i = 0; i < height; i++) {
        void *row = (uint8_t *)target + i * pitch;
        if (!fake_capture_fill(row, value, width)) memset(row, value, width);
    }
    return pitch >= width ? 0 : 1;
}

static const FakeSymbol symbols[] = {
    {"cuMemAlloc_v2", allocate},
    {"cuMemFree_v2", release},
    {"cuMemGetInfo_v2", memoryInfo},
    {"cuMemHostAlloc", allocateHost},
    {"cuMemFreeHost", freeHost},
    {"cuMemcpyHtoDAsync_v2", copyToDevice},
    {"cuMemcpyDtoHAsync_v2", copyToHost},
    {"cuMemcpyDtoDAsync_v2", copyOnDevice},
    {"cuMemcpyPeerAsync", copyToPeer},
    {"cuMemsetD8Async", fill},
    {"cuMemsetD2D8Async", fillRows},
};

void *fake_memory_symbol(const char *name) {
    return fake_find(symbols, sizeof symbols / sizeof symbols[0], name);
}
