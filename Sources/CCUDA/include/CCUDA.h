// The few types and numbers of the CUDA driver, of cuBLASLt and of cuDNN that LigerRuntime uses. The libraries
// are found with dlopen at run time, so nothing of them is needed to build. Names and values are those of the
// public interfaces; where the driver has several versions of a function, the type here is that of the
// exported symbol named next to it.
#ifndef CCUDA_H
#define CCUDA_H

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
typedef CUresult (*CUDAThreadExchangeCaptureMode)(int32_t *mode);                      // cuThreadExchangeStreamCaptureMode
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

// MARK: - cuBLASLt

typedef int32_t cublasStatus_t;
#define CUBLAS_STATUS_SUCCESS 0
#define CUBLAS_STATUS_NOT_INITIALIZED 1
#define CUBLAS_STATUS_ALLOC_FAILED 3
#define CUBLAS_STATUS_ARCH_MISMATCH 8
#define CUBLAS_STATUS_EXECUTION_FAILED 13
#define CUBLAS_STATUS_NOT_SUPPORTED 15

/// How elements are stored.
typedef int32_t cudaDataType_t;
#define CUDA_R_32F 0
#define CUDA_R_16F 2
#define CUDA_R_16BF 14
#define CUDA_R_8F_E4M3 28
#define CUDA_R_8F_E5M2 29

/// fp32 products and sums, TF32 not allowed for fp32 factors; and the same with it allowed.
typedef int32_t cublasComputeType_t;
#define CUBLAS_COMPUTE_32F 68
#define CUBLAS_COMPUTE_32F_FAST_TF32 77

#define CUBLAS_OP_N 0
#define CUBLAS_OP_T 1
#define CUBLASLT_MATMUL_DESC_TRANSA 3
#define CUBLASLT_MATMUL_DESC_TRANSB 4
/// Where one fp32 number is on the device that an 8-bit factor is multiplied by.
#define CUBLASLT_MATMUL_DESC_A_SCALE_POINTER 17
#define CUBLASLT_MATMUL_DESC_B_SCALE_POINTER 18
/// One byte: whether sums of 8-bit products may stay in the tensor cores, with fewer bits than fp32 has.
#define CUBLASLT_MATMUL_DESC_FAST_ACCUM 25
#define CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT 5
#define CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET 6
#define CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES 1
#define CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK 3
#define CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES 5
#define CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES 6
#define CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES 7
#define CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES 8
/// Partial sums of a split product kept in the compute type and added in a fixed order.
#define CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE 2

typedef struct cublasLtContext *cublasLtHandle_t;
typedef struct cublasLtMatmulDescOpaque *cublasLtMatmulDesc_t;
typedef struct cublasLtMatrixLayoutOpaque *cublasLtMatrixLayout_t;
typedef struct cublasLtMatmulPreferenceOpaque *cublasLtMatmulPreference_t;

/// An algorithm, opaque.
typedef struct {
    uint64_t data[8];
} cublasLtMatmulAlgo_t;

/// An algorithm that the library suggests for a product.
typedef struct {
    cublasLtMatmulAlgo_t algo;
    size_t workspaceSize;
    cublasStatus_t state;
    float wavesCount;
    int32_t reserved[4];
} cublasLtMatmulHeuristicResult_t;

typedef cublasStatus_t (*CUBLASLtCreate)(cublasLtHandle_t *handle);
typedef size_t (*CUBLASLtGetVersion)(void);
typedef const char *(*CUBLASLtGetStatusText)(cublasStatus_t status);
typedef cublasStatus_t (*CUBLASLtDescriptorCreate)(
    cublasLtMatmulDesc_t *descriptor, cublasComputeType_t computeType, cudaDataType_t scaleType);
typedef cublasStatus_t (*CUBLASLtDescriptorSet)(
    cublasLtMatmulDesc_t descriptor, int32_t attribute, const void *value, size_t bytes);
typedef cublasStatus_t (*CUBLASLtDescriptorDestroy)(cublasLtMatmulDesc_t descriptor);
typedef cublasStatus_t (*CUBLASLtLayoutCreate)(
    cublasLtMatrixLayout_t *layout, cudaDataType_t type, uint64_t rows, uint64_t columns,
    int64_t leadingDimension);
typedef cublasStatus_t (*CUBLASLtLayoutSet)(
    cublasLtMatrixLayout_t layout, int32_t attribute, const void *value, size_t bytes);
typedef cublasStatus_t (*CUBLASLtLayoutDestroy)(cublasLtMatrixLayout_t layout);
typedef cublasStatus_t (*CUBLASLtPreferenceCreate)(cublasLtMatmulPreference_t *preference);
typedef cublasStatus_t (*CUBLASLtPreferenceSet)(
    cublasLtMatmulPreference_t preference, int32_t attribute, const void *value, size_t bytes);
typedef cublasStatus_t (*CUBLASLtPreferenceDestroy)(cublasLtMatmulPreference_t preference);
typedef cublasStatus_t (*CUBLASLtGetHeuristic)(
    cublasLtHandle_t handle, cublasLtMatmulDesc_t descriptor, cublasLtMatrixLayout_t a,
    cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
    cublasLtMatmulPreference_t preference, int32_t wanted, cublasLtMatmulHeuristicResult_t *results,
    int32_t *found);
typedef cublasStatus_t (*CUBLASLtMultiply)(
    cublasLtHandle_t handle, cublasLtMatmulDesc_t descriptor, const void *alpha, const void *a,
    cublasLtMatrixLayout_t aLayout, const void *b, cublasLtMatrixLayout_t bLayout, const void *beta,
    const void *c, cublasLtMatrixLayout_t cLayout, void *d, cublasLtMatrixLayout_t dLayout,
    const cublasLtMatmulAlgo_t *algorithm, void *workspace, size_t workspaceBytes, CUstream stream);

// MARK: - cuDNN: its graph interface

typedef int32_t cudnnStatus_t;
#define CUDNN_STATUS_SUCCESS 0
#define CUDNN_STATUS_NOT_INITIALIZED 1001
#define CUDNN_STATUS_SUBLIBRARY_VERSION_MISMATCH 1002
#define CUDNN_STATUS_SUBLIBRARY_LOADING_FAILED 1008
#define CUDNN_STATUS_NOT_SUPPORTED 3000
#define CUDNN_STATUS_INTERNAL_ERROR 4000
#define CUDNN_STATUS_COMPILATION_FAILED 4001
#define CUDNN_STATUS_EXECUTION_FAILED 5000

/// How elements are stored.
#define CUDNN_DATA_FLOAT 0
#define CUDNN_DATA_HALF 2
#define CUDNN_DATA_INT32 4
#define CUDNN_DATA_BFLOAT16 9
#define CUDNN_DATA_BOOLEAN 11

/// What an operation does element by element, and how many become one.
#define CUDNN_POINTWISE_ADD 0
#define CUDNN_POINTWISE_MUL 1
#define CUDNN_POINTWISE_DIV 6
#define CUDNN_POINTWISE_SUB 9
#define CUDNN_POINTWISE_EXP 13
#define CUDNN_POINTWISE_LOG 15
#define CUDNN_POINTWISE_IDENTITY 21
#define CUDNN_POINTWISE_CMP_GT 302
#define CUDNN_POINTWISE_CMP_GE 303
#define CUDNN_POINTWISE_GEN_INDEX 501
#define CUDNN_POINTWISE_BINARY_SELECT 601
#define CUDNN_REDUCE_TENSOR_ADD 0
#define CUDNN_REDUCE_TENSOR_MAX 3

/// The library's own ranking of its engines for a graph; nothing is timed.
#define CUDNN_HEUR_MODE_A 3

/// Kinds of descriptors.
typedef int32_t cudnnBackendDescriptorType_t;
#define CUDNN_BACKEND_POINTWISE_DESCRIPTOR 0
#define CUDNN_BACKEND_ENGINECFG_DESCRIPTOR 3
#define CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR 4
#define CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR 5
#define CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR 13
#define CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR 15
#define CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR 16
#define CUDNN_BACKEND_TENSOR_DESCRIPTOR 17
#define CUDNN_BACKEND_MATMUL_DESCRIPTOR 18
#define CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR 19
#define CUDNN_BACKEND_REDUCTION_DESCRIPTOR 21
#define CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR 22
#define CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR 31

/// Types of attributes' values.
typedef int32_t cudnnBackendAttributeType_t;
#define CUDNN_TYPE_HANDLE 0
#define CUDNN_TYPE_DATA_TYPE 1
#define CUDNN_TYPE_BOOLEAN 2
#define CUDNN_TYPE_INT64 3
#define CUDNN_TYPE_FLOAT 4
#define CUDNN_TYPE_VOID_PTR 6
#define CUDNN_TYPE_HEUR_MODE 8
#define CUDNN_TYPE_POINTWISE_MODE 14
#define CUDNN_TYPE_BACKEND_DESCRIPTOR 15
#define CUDNN_TYPE_REDUCTION_OPERATOR_TYPE 18

/// Attributes.
typedef int32_t cudnnBackendAttributeName_t;
#define CUDNN_ATTR_POINTWISE_MODE 0
#define CUDNN_ATTR_POINTWISE_MATH_PREC 1
#define CUDNN_ATTR_POINTWISE_AXIS 9
#define CUDNN_ATTR_ENGINEHEUR_MODE 200
#define CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH 201
#define CUDNN_ATTR_ENGINEHEUR_RESULTS 202
#define CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG 401
#define CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE 402
#define CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR 750
#define CUDNN_ATTR_OPERATION_POINTWISE_XDESC 751
#define CUDNN_ATTR_OPERATION_POINTWISE_BDESC 752
#define CUDNN_ATTR_OPERATION_POINTWISE_YDESC 753
#define CUDNN_ATTR_OPERATION_POINTWISE_TDESC 758
#define CUDNN_ATTR_OPERATIONGRAPH_HANDLE 800
#define CUDNN_ATTR_OPERATIONGRAPH_OPS 801
#define CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT 900
#define CUDNN_ATTR_TENSOR_DATA_TYPE 901
#define CUDNN_ATTR_TENSOR_DIMENSIONS 902
#define CUDNN_ATTR_TENSOR_STRIDES 903
#define CUDNN_ATTR_TENSOR_UNIQUE_ID 906
#define CUDNN_ATTR_TENSOR_IS_VIRTUAL 907
#define CUDNN_ATTR_TENSOR_IS_BY_VALUE 908
#define CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS 1000
#define CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS 1001
#define CUDNN_ATTR_VARIANT_PACK_WORKSPACE 1003
#define CUDNN_ATTR_MATMUL_COMP_TYPE 1500
#define CUDNN_ATTR_OPERATION_MATMUL_ADESC 1520
#define CUDNN_ATTR_OPERATION_MATMUL_BDESC 1521
#define CUDNN_ATTR_OPERATION_MATMUL_CDESC 1522
#define CUDNN_ATTR_OPERATION_MATMUL_DESC 1523
#define CUDNN_ATTR_REDUCTION_OPERATOR 1600
#define CUDNN_ATTR_REDUCTION_COMP_TYPE 1601
#define CUDNN_ATTR_OPERATION_REDUCTION_XDESC 1610
#define CUDNN_ATTR_OPERATION_REDUCTION_YDESC 1611
#define CUDNN_ATTR_OPERATION_REDUCTION_DESC 1612
#define CUDNN_ATTR_OPERATION_RESHAPE_XDESC 2200
#define CUDNN_ATTR_OPERATION_RESHAPE_YDESC 2201

typedef struct cudnnContext *cudnnHandle_t;
typedef void *cudnnBackendDescriptor_t;

typedef size_t (*CUDNNGetVersion)(void);                                               // cudnnGetVersion, cudnnGetCudartVersion
typedef const char *(*CUDNNGetStatusText)(cudnnStatus_t status);                       // cudnnGetErrorString
typedef void (*CUDNNGetLastError)(char *text, size_t bytes);                           // cudnnGetLastErrorString
typedef cudnnStatus_t (*CUDNNCreate)(cudnnHandle_t *handle);                           // cudnnCreate
typedef cudnnStatus_t (*CUDNNSetStream)(cudnnHandle_t handle, CUstream stream);        // cudnnSetStream
typedef cudnnStatus_t (*CUDNNDescriptorCreate)(
    cudnnBackendDescriptorType_t kind, cudnnBackendDescriptor_t *descriptor);          // cudnnBackendCreateDescriptor
typedef cudnnStatus_t (*CUDNNDescriptorCall)(
    cudnnBackendDescriptor_t descriptor);                                              // cudnnBackendDestroyDescriptor, ...Finalize
typedef cudnnStatus_t (*CUDNNDescriptorSet)(
    cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name,
    cudnnBackendAttributeType_t type, int64_t count, const void *values);              // cudnnBackendSetAttribute
typedef cudnnStatus_t (*CUDNNDescriptorGet)(
    cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name,
    cudnnBackendAttributeType_t type, int64_t wanted, int64_t *found, void *values);   // cudnnBackendGetAttribute
typedef cudnnStatus_t (*CUDNNExecute)(
    cudnnHandle_t handle, cudnnBackendDescriptor_t plan, cudnnBackendDescriptor_t pack); // cudnnBackendExecute

#endif
