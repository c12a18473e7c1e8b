// The few types and numbers of AMD's HIP runtime, of its code object manager (comgr) and of hipBLASLt that LigerHIP uses,
// in our own words. The libraries are found with dlopen at run time, so nothing of them is needed to build. Functions that
// HIP shares with NVIDIA's driver but for their names are `GPUFunctions` of LigerGPU.
#ifndef CHIP_H
#define CHIP_H

#include <stddef.h>
#include <stdint.h>

// MARK: - HIP

typedef int32_t hipError_t;
typedef struct hipStreamOpaque *hipStream_t;
typedef struct hipModuleOpaque *hipModule_t;

#define hipErrorInvalidValue 1
#define hipErrorOutOfMemory 2
#define hipErrorNotInitialized 3
#define hipErrorInsufficientDriver 35
#define hipErrorNoDevice 100
#define hipErrorInvalidDevice 101
#define hipErrorInvalidImage 200
#define hipErrorNoBinaryForGpu 209
#define hipErrorInvalidKernelFile 218
#define hipErrorNotFound 500
#define hipErrorIllegalAddress 700
#define hipErrorLaunchOutOfResources 701
#define hipErrorLaunchFailure 719
#define hipErrorStreamCaptureUnsupported 900
#define hipErrorStreamCaptureInvalidated 901

#define hipHostMallocPortable 0x1
#define hipHostMallocMapped 0x2
/// The GPU keeps no copy of its own, so that the host sees what is written once the work is done.
#define hipHostMallocCoherent 0x40000000

/// What ends the list of keys and values of a launch, where NVIDIA's driver has 0.
#define HIP_LAUNCH_PARAM_END 3

/// What a GPU is, of HIP 6 and later (hipGetDevicePropertiesR0600). Only what is read has a name.
typedef struct {
    char name[256];
    uint8_t unused1[32];
    size_t totalGlobalMem;
    size_t sharedMemPerBlock;
    int32_t regsPerBlock;
    int32_t warpSize;
    size_t memPitch;
    int32_t maxThreadsPerBlock;
    uint8_t unused2[64];
    int32_t multiProcessorCount;
    uint8_t unused3[224];
    int32_t l2CacheSize;
    uint8_t unused4[540];
    /// Such as `gfx90a:sramecc+:xnack-`.
    char gcnArchName[256];
    uint8_t unused5[56];
    /// Later releases may write more.
    uint8_t room[1024];
} HIPDeviceProperties;

typedef hipError_t (*HIPInit)(uint32_t flags);                                         // hipInit
typedef hipError_t (*HIPGetInteger)(int32_t *value);                                   // hipRuntimeGetVersion, hipGetDeviceCount, hipGetDevice
typedef hipError_t (*HIPSetDevice)(int32_t ordinal);                                   // hipSetDevice
typedef const char *(*HIPGetText)(hipError_t code);                                    // hipGetErrorName, hipGetErrorString
typedef hipError_t (*HIPGetProperties)(HIPDeviceProperties *properties, int32_t ordinal); // hipGetDevicePropertiesR0600
typedef hipError_t (*HIPModuleLoad)(hipModule_t *module, const void *image);           // hipModuleLoadData
typedef hipError_t (*HIPFillRows)(
    uint64_t target, size_t pitch, int32_t value, size_t width, size_t height,
    hipStream_t stream);                                                               // hipMemset2DAsync
typedef hipError_t (*HIPCopyToPeer)(
    uint64_t target, int32_t targetDevice, uint64_t source, int32_t sourceDevice, size_t bytes,
    hipStream_t stream);                                                               // hipMemcpyPeerAsync

// MARK: - The code object manager

typedef int32_t amd_comgr_status_t;

/// A set, data, or an action, each a word in a structure.
typedef struct {
    uint64_t handle;
} ComgrHandle;

typedef int32_t amd_comgr_data_kind_t;
#define AMD_COMGR_DATA_KIND_LOG 5
#define AMD_COMGR_DATA_KIND_BC 6
#define AMD_COMGR_DATA_KIND_RELOCATABLE 7
#define AMD_COMGR_DATA_KIND_EXECUTABLE 8

typedef void (*ComgrGetVersion)(size_t *major, size_t *minor);                         // amd_comgr_get_version
typedef amd_comgr_status_t (*ComgrStatusText)(amd_comgr_status_t status, const char **text); // amd_comgr_status_string
typedef amd_comgr_status_t (*ComgrMake)(ComgrHandle *made);                            // amd_comgr_create_data_set, ...create_action_info
typedef amd_comgr_status_t (*ComgrCall)(ComgrHandle handle);                           // amd_comgr_destroy_data_set, ...destroy_action_info, ...release_data
typedef amd_comgr_status_t (*ComgrMakeData)(amd_comgr_data_kind_t kind, ComgrHandle *data); // amd_comgr_create_data
typedef amd_comgr_status_t (*ComgrSetData)(ComgrHandle data, size_t bytes, const char *contents); // amd_comgr_set_data
typedef amd_comgr_status_t (*ComgrSetText)(ComgrHandle handle, const char *text);      // amd_comgr_set_data_name, ...action_info_set_isa_name
typedef amd_comgr_status_t (*ComgrAdd)(ComgrHandle set, ComgrHandle data);             // amd_comgr_data_set_add
typedef amd_comgr_status_t (*ComgrSetOptions)(
    ComgrHandle action, const char **options, size_t count);                           // amd_comgr_action_info_set_option_list
typedef amd_comgr_status_t (*ComgrSetFlag)(ComgrHandle action, _Bool value);           // amd_comgr_action_info_set_logging
typedef amd_comgr_status_t (*ComgrAct)(
    int32_t kind, ComgrHandle action, ComgrHandle input, ComgrHandle result);          // amd_comgr_do_action
typedef amd_comgr_status_t (*ComgrFind)(
    ComgrHandle set, amd_comgr_data_kind_t kind, size_t index, ComgrHandle *data);     // amd_comgr_action_data_get_data
typedef amd_comgr_status_t (*ComgrRead)(ComgrHandle data, size_t *bytes, char *contents); // amd_comgr_get_data

// MARK: - hipBLASLt

typedef int32_t hipblasStatus_t;
#define HIPBLAS_STATUS_SUCCESS 0
#define HIPBLAS_STATUS_NOT_INITIALIZED 1
#define HIPBLAS_STATUS_ALLOC_FAILED 2
#define HIPBLAS_STATUS_EXECUTION_FAILED 5
#define HIPBLAS_STATUS_NOT_SUPPORTED 7
#define HIPBLAS_STATUS_ARCH_MISMATCH 8

/// How elements are stored.
typedef int32_t hipDataType;
#define HIP_R_32F 0
#define HIP_R_16F 2
#define HIP_R_16BF 14

#define HIPBLAS_COMPUTE_32F 2
#define HIPBLAS_OP_N 111
#define HIPBLAS_OP_T 112
#define HIPBLASLT_MATMUL_DESC_TRANSA 0
#define HIPBLASLT_MATMUL_DESC_TRANSB 1
#define HIPBLASLT_MATRIX_LAYOUT_BATCH_COUNT 0
#define HIPBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET 1
#define HIPBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES 1

typedef void *hipblasLtHandle_t;
typedef struct hipblasLtMatmulDescOpaque *hipblasLtMatmulDesc_t;
typedef struct hipblasLtMatrixLayoutOpaque *hipblasLtMatrixLayout_t;
typedef struct hipblasLtMatmulPreferenceOpaque *hipblasLtMatmulPreference_t;

/// An algorithm, opaque.
typedef struct {
    uint64_t data[3];
} hipblasLtMatmulAlgo_t;

/// An algorithm that the library suggests for a product.
typedef struct {
    hipblasLtMatmulAlgo_t algo;
    size_t workspaceSize;
    hipblasStatus_t state;
    float wavesCount;
    int32_t reserved[4];
} hipblasLtMatmulHeuristicResult_t;

// 100000 major + 100 minor + patch
typedef hipblasStatus_t (*HIPBLASLtGetVersion)(hipblasLtHandle_t handle, int32_t *version); // hipblasLtGetVersion
typedef hipblasStatus_t (*HIPBLASLtCreate)(hipblasLtHandle_t *handle);                 // hipblasLtCreate
typedef hipblasStatus_t (*HIPBLASLtDescriptorCreate)(
    hipblasLtMatmulDesc_t *descriptor, int32_t computeType, hipDataType scaleType);    // hipblasLtMatmulDescCreate
typedef hipblasStatus_t (*HIPBLASLtDescriptorSet)(
    hipblasLtMatmulDesc_t descriptor, int32_t attribute, const void *value, size_t bytes); // hipblasLtMatmulDescSetAttribute
typedef hipblasStatus_t (*HIPBLASLtDescriptorDestroy)(hipblasLtMatmulDesc_t descriptor); // hipblasLtMatmulDescDestroy
typedef hipblasStatus_t (*HIPBLASLtLayoutCreate)(
    hipblasLtMatrixLayout_t *layout, hipDataType type, uint64_t rows, uint64_t columns,
    int64_t leadingDimension);                                                         // hipblasLtMatrixLayoutCreate
typedef hipblasStatus_t (*HIPBLASLtLayoutSet)(
    hipblasLtMatrixLayout_t layout, int32_t attribute, const void *value, size_t bytes); // hipblasLtMatrixLayoutSetAttribute
typedef hipblasStatus_t (*HIPBLASLtLayoutDestroy)(hipblasLtMatrixLayout_t layout);     // hipblasLtMatrixLayoutDestroy
typedef hipblasStatus_t (*HIPBLASLtPreferenceCreate)(hipblasLtMatmulPreference_t *preference); // hipblasLtMatmulPreferenceCreate
typedef hipblasStatus_t (*HIPBLASLtPreferenceSet)(
    hipblasLtMatmulPreference_t preference, int32_t attribute, const void *value,
    size_t bytes);                                                                     // hipblasLtMatmulPreferenceSetAttribute
typedef hipblasStatus_t (*HIPBLASLtPreferenceDestroy)(hipblasLtMatmulPreference_t preference); // hipblasLtMatmulPreferenceDestroy
typedef hipblasStatus_t (*HIPBLASLtGetHeuristic)(
    hipblasLtHandle_t handle, hipblasLtMatmulDesc_t descriptor, hipblasLtMatrixLayout_t a,
    hipblasLtMatrixLayout_t b, hipblasLtMatrixLayout_t c, hipblasLtMatrixLayout_t d,
    hipblasLtMatmulPreference_t preference, int32_t wanted, hipblasLtMatmulHeuristicResult_t *results,
    int32_t *found);                                                                   // hipblasLtMatmulAlgoGetHeuristic
typedef hipblasStatus_t (*HIPBLASLtMultiply)(
    hipblasLtHandle_t handle, hipblasLtMatmulDesc_t descriptor, const void *alpha, const void *a,
    hipblasLtMatrixLayout_t aLayout, const void *b, hipblasLtMatrixLayout_t bLayout, const void *beta,
    const void *c, hipblasLtMatrixLayout_t cLayout, void *d, hipblasLtMatrixLayout_t dLayout,
    const hipblasLtMatmulAlgo_t *algorithm, void *workspace, size_t workspaceBytes,
    hipStream_t stream);                                                               // hipblasLtMatmul

#endif
