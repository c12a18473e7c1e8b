// cuBLASLt: products of matrices.
#ifndef CUBLASLT_H
#define CUBLASLT_H

#include "CUDADriver.h"

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

#endif
