// The driver: where it has several versions of a function, the type here is that of the exported symbol named next
// to it.
#ifndef CUDA_DRIVER_H
#define CUDA_DRIVER_H

#include <stddef.h>
#include <stdint.h>

// MARK: - Driver: handles

typedef int32_t CUdevice;
typedef uint64_t CUdeviceptr;
typedef struct CUctx_st *CUcontext;
typedef struct CUmod_st *CUmodule;
typedef struct CUfunc_st *CUfunction;
typedef struct CUstream_st *CUstream;
typedef struct CUgraph_st *CUgraph;
typedef struct CUgraphExec_st *CUgraphExec;
typedef struct CUevent_st *CUevent;

// MARK: - Driver: numbers

/// What every driver function returns. Only codes that get advice of their own are named.
typedef int32_t CUresult;

#define CUDA_SUCCESS 0
#define CUDA_ERROR_INVALID_VALUE 1
#define CUDA_ERROR_OUT_OF_MEMORY 2
#define CUDA_ERROR_NOT_INITIALIZED 3
#define CUDA_ERROR_STUB_LIBRARY 34
#define CUDA_ERROR_DEVICE_UNAVAILABLE 46
#define CUDA_ERROR_NO_DEVICE 100
#define CUDA_ERROR_INVALID_DEVICE 101
#define CUDA_ERROR_INVALID_IMAGE 200
#define CUDA_ERROR_NO_BINARY_FOR_GPU 209
#define CUDA_ERROR_INVALID_PTX 218
#define CUDA_ERROR_JIT_COMPILER_NOT_FOUND 221
#define CUDA_ERROR_UNSUPPORTED_PTX_VERSION 222
#define CUDA_ERROR_NOT_FOUND 500
#define CUDA_ERROR_ILLEGAL_ADDRESS 700
#define CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES 701
#define CUDA_ERROR_LAUNCH_TIMEOUT 702
#define CUDA_ERROR_ILLEGAL_INSTRUCTION 715
#define CUDA_ERROR_MISALIGNED_ADDRESS 716
#define CUDA_ERROR_LAUNCH_FAILED 719
#define CUDA_ERROR_SYSTEM_NOT_READY 802
#define CUDA_ERROR_SYSTEM_DRIVER_MISMATCH 803
#define CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED 900
#define CUDA_ERROR_STREAM_CAPTURE_INVALIDATED 901
#define CUDA_ERROR_INVALID_CLUSTER_SIZE 912

/// Questions to cuDeviceGetAttribute.
typedef int32_t CUdevice_attribute;

#define CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK 1
#define CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK 8
#define CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT 16
#define CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE 38
#define CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR 39
#define CU_DEVICE_ATTRIBUTE_UNIFIED_ADDRESSING 41
#define CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR 75
#define CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR 76
#define CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR 81
#define CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_MULTIPROCESSOR 82
#define CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN 97
#define CU_DEVICE_ATTRIBUTE_CLUSTER_LAUNCH 120

/// Questions to cuFuncGetAttribute and settings of cuFuncSetAttribute.
typedef int32_t CUfunction_attribute;

#define CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK 0
#define CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES 1
#define CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES 3
#define CU_FUNC_ATTRIBUTE_NUM_REGS 4
#define CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES 8
#define CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED 14

/// Options of cuModuleLoadDataEx.
typedef int32_t CUjit_option;

#define CU_JIT_ERROR_LOG_BUFFER 5
#define CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES 6

#define CU_STREAM_NON_BLOCKING 1
#define CU_EVENT_DEFAULT 0
#define CU_EVENT_DISABLE_TIMING 2
#define CU_MEMHOSTALLOC_PORTABLE 1
#define CU_MEMHOSTALLOC_DEVICEMAP 2
#define CU_STREAM_CAPTURE_STATUS_NONE 0
#define CU_STREAM_CAPTURE_MODE_RELAXED 2

/// Keys of the `extra` argument of a launch: parameters come as one block of bytes.
#define CU_LAUNCH_PARAM_END 0
#define CU_LAUNCH_PARAM_BUFFER_POINTER 1
#define CU_LAUNCH_PARAM_BUFFER_SIZE 2

#define CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION 4
#define CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION 6

/// One attribute of a launch; the value is a union of 64 bytes.
typedef struct {
    int32_t id;
    int32_t padding;
    union {
        struct {
            uint32_t x, y, z;
        } cluster;
        /// Whether the kernel waits itself for what is before it in the stream.
        int32_t waitsItself;
        uint32_t unused[16];
    };
} CUlaunchAttribute;

/// What cuLaunchKernelEx launches.
typedef struct {
    uint32_t gridDimX, gridDimY, gridDimZ;
    uint32_t blockDimX, blockDimY, blockDimZ;
    uint32_t sharedMemBytes;
    CUstream hStream;
    CUlaunchAttribute *attrs;
    uint32_t numAttrs;
} CUlaunchConfig;

// MARK: - Driver: functions, by exported symbol

typedef CUresult (*CUDAInit)(uint32_t flags);                                          // cuInit
typedef CUresult (*CUDADriverGetVersion)(int32_t *version);                            // cuDriverGetVersion
typedef CUresult (*CUDAGetErrorText)(CUresult code, const char **text);                // cuGetErrorName, cuGetErrorString
typedef CUresult (*CUDADeviceGetCount)(int32_t *count);                                // cuDeviceGetCount
typedef CUresult (*CUDADeviceGet)(CUdevice *device, int32_t ordinal);                  // cuDeviceGet
typedef CUresult (*CUDADeviceGetName)(char *name, int32_t length, CUdevice device);    // cuDeviceGetName
typedef CUresult (*CUDADeviceTotalMemory)(size_t *bytes, CUdevice device);             // cuDeviceTotalMem_v2
typedef CUresult (*CUDADeviceGetAttribute)(
    int32_t *value, CUdevice_attribute attribute, CUdevice device);                    // cuDeviceGetAttribute
typedef CUresult (*CUDAPrimaryContextRetain)(CUcontext *context, CUdevice device);     // cuDevicePrimaryCtxRetain
typedef CUresult (*CUDAContextGetCurrent)(CUcontext *context);                         // cuCtxGetCurrent
typedef CUresult (*CUDAContextPush)(CUcontext context);                                // cuCtxPushCurrent_v2
typedef CUresult (*CUDAContextPop)(CUcontext *context);                                // cuCtxPopCurrent_v2
typedef CUresult (*CUDAStreamCreate)(CUstream *stream, uint32_t flags);                // cuStreamCreate
typedef CUresult (*CUDAStreamCall)(CUstream stream);                                   // cuStreamDestroy_v2, cuStreamSynchronize
typedef CUresult (*CUDAStreamIsCapturing)(CUstream stream, int32_t *status);           // cuStreamIsCapturing
typedef CUresult (*CUDAStreamBeginCapture)(CUstream stream, int32_t mode);             // cuStreamBeginCapture_v2
typedef CUresult (*CUDAStreamEndCapture)(CUstream stream, CUgraph *graph);             // cuStreamEndCapture
typedef CUresult (*CUDAGraphInstantiate)(
    CUgraphExec *instance, CUgraph graph, uint64_t flags);                             // cuGraphInstantiateWithFlags
typedef CUresult (*CUDAGraphLaunch)(CUgraphExec instance, CUstream stream);            // cuGraphLaunch
typedef CUresult (*CUDAGraphDestroy)(CUgraph graph);                                   // cuGraphDestroy
typedef CUresult (*CUDAGraphInstanceDestroy)(CUgraphExec instance);                    // cuGraphExecDestroy
typedef CUresult (*CUDAStreamWaitEvent)(CUstream stream, CUevent event, uint32_t flags); // cuStreamWaitEvent
typedef CUresult (*CUDAEventCreate)(CUevent *event, uint32_t flags);                   // cuEventCreate
typedef CUresult (*CUDAEventRecord)(CUevent event, CUstream stream);                   // cuEventRecord
typedef CUresult (*CUDAEventCall)(CUevent event);                                      // cuEventDestroy_v2, cuEventSynchronize
typedef CUresult (*CUDAEventElapsedTime)(float *milliseconds, CUevent start, CUevent end); // cuEventElapsedTime
typedef CUresult (*CUDAModuleLoad)(
    CUmodule *module, const void *image, uint32_t optionCount, CUjit_option *options,
    void **values);                                                                    // cuModuleLoadDataEx
typedef CUresult (*CUDAModuleUnload)(CUmodule module);                                 // cuModuleUnload
typedef CUresult (*CUDAModuleGetFunction)(
    CUfunction *function, CUmodule module, const char *name);                          // cuModuleGetFunction
typedef CUresult (*CUDAFunctionGetAttribute)(
    int32_t *value, CUfunction_attribute attribute, CUfunction function);              // cuFuncGetAttribute
typedef CUresult (*CUDAFunctionSetAttribute)(
    CUfunction function, CUfunction_attribute attribute, int32_t value);               // cuFuncSetAttribute
typedef CUresult (*CUDALaunch)(
    CUfunction function, uint32_t gridX, uint32_t gridY, uint32_t gridZ, uint32_t blockX, uint32_t blockY,
    uint32_t blockZ, uint32_t sharedBytes, CUstream stream, void **parameters, void **extra); // cuLaunchKernel
typedef CUresult (*CUDALaunchWithAttributes)(
    const CUlaunchConfig *config, CUfunction function, void **parameters, void **extra); // cuLaunchKernelEx
typedef CUresult (*CUDAAllocate)(CUdeviceptr *address, size_t bytes);                  // cuMemAlloc_v2
typedef CUresult (*CUDAFree)(CUdeviceptr address);                                     // cuMemFree_v2
typedef CUresult (*CUDAMemoryInfo)(size_t *available, size_t *total);                  // cuMemGetInfo_v2
typedef CUresult (*CUDAHostAllocate)(void **address, size_t bytes, uint32_t flags);    // cuMemHostAlloc
typedef CUresult (*CUDAHostFree)(void *address);                                       // cuMemFreeHost
typedef CUresult (*CUDACopyToDevice)(
    CUdeviceptr target, const void *source, size_t bytes, CUstream stream);            // cuMemcpyHtoDAsync_v2
typedef CUresult (*CUDACopyToHost)(
    void *target, CUdeviceptr source, size_t bytes, CUstream stream);                  // cuMemcpyDtoHAsync_v2
typedef CUresult (*CUDACopyOnDevice)(
    CUdeviceptr target, CUdeviceptr source, size_t bytes, CUstream stream);            // cuMemcpyDtoDAsync_v2
typedef CUresult (*CUDACopyToPeer)(
    CUdeviceptr target, CUcontext targetContext, CUdeviceptr source, CUcontext sourceContext, size_t bytes,
    CUstream stream);                                                                  // cuMemcpyPeerAsync
typedef CUresult (*CUDAFill)(
    CUdeviceptr target, uint8_t value, size_t bytes, CUstream stream);                 // cuMemsetD8Async
typedef CUresult (*CUDAFillRows)(
    CUdeviceptr target, size_t pitch, uint8_t value, size_t width, size_t height,
    CUstream stream);                                                                  // cuMemsetD2D8Async

/// How the copy engine finds tiles of an array; at a multiple of 64 bytes.
typedef struct {
    uint64_t opaque[16];
} CUtensorMap;

#define CU_TENSOR_MAP_DATA_TYPE_FLOAT16 6
#define CU_TENSOR_MAP_DATA_TYPE_BFLOAT16 9
#define CU_TENSOR_MAP_SWIZZLE_128B 3
#define CU_TENSOR_MAP_L2_PROMOTION_L2_256B 3

typedef CUresult (*CUDATensorMapEncode)(
    CUtensorMap *map, int32_t dataType, uint32_t rank, void *address, const uint64_t *sizes,
    const uint64_t *strides, const uint32_t *box, const uint32_t *elementStrides, int32_t interleave,
    int32_t swizzle, int32_t promotion, int32_t fill);                                 // cuTensorMapEncodeTiled

#endif
