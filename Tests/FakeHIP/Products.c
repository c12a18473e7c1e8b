#include "../FakeCUDA/Fake.h"
#include "Parts.h"

// hipBLASLt with its own numbers over the fake cuBLASLt, which has the arithmetic.

#define CUBLAS(name, type) ((type)fake_cuda_symbol("cublasLt" name))

static hipblasStatus_t translated(cublasStatus_t status) {
    switch (status) {
    case CUBLAS_STATUS_SUCCESS: return HIPBLAS_STATUS_SUCCESS;
    case CUBLAS_STATUS_NOT_SUPPORTED: return HIPBLAS_STATUS_NOT_SUPPORTED;
    default: return 3;
    }
}

static hipblasStatus_t version(hipblasLtHandle_t handle, int32_t *version) {
    *version = 1002;
    return handle ? 0 : 1;
}

static hipblasStatus_t create(hipblasLtHandle_t *handle) {
    NEEDS_CONTEXT;
    return translated(CUBLAS("Create", CUBLASLtCreate)((cublasLtHandle_t *)handle));
}

static hipblasStatus_t createDescriptor(hipblasLtMatmulDesc_t *descriptor, int32_t type, hipDataType scale) {
    if (type != HIPBLAS_COMPUTE_32F) return 7;
    return translated(CUBLAS("MatmulDescCreate", CUBLASLtDescriptorCreate)(
        (cublasLtMatmulDesc_t *)descriptor, CUBLAS_COMPUTE_32F, scale));
}

static hipblasStatus_t setDescriptor(
    hipblasLtMatmulDesc_t descriptor, int32_t attribute, const void *value, size_t bytes) {
    int32_t operation;
    if (bytes != 4 || (attribute != HIPBLASLT_MATMUL_DESC_TRANSA && attribute != HIPBLASLT_MATMUL_DESC_TRANSB))
        return 3;
    memcpy(&operation, value, 4);
    if (operation != HIPBLAS_OP_N && operation != HIPBLAS_OP_T) return 3;
    operation = operation == HIPBLAS_OP_T ? CUBLAS_OP_T : CUBLAS_OP_N;
    attribute = attribute == HIPBLASLT_MATMUL_DESC_TRANSA ? CUBLASLT_MATMUL_DESC_TRANSA : CUBLASLT_MATMUL_DESC_TRANSB;
    return translated(CUBLAS("MatmulDescSetAttribute", CUBLASLtDescriptorSet)(
        (cublasLtMatmulDesc_t)descriptor, attribute, &operation, 4));
}

static hipblasStatus_t setLayout(
    hipblasLtMatrixLayout_t layout, int32_t attribute, const void *value, size_t bytes) {
    if (attribute != HIPBLASLT_MATRIX_LAYOUT_BATCH_COUNT && attribute != HIPBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET)
        return 3;
    attribute = attribute == HIPBLASLT_MATRIX_LAYOUT_BATCH_COUNT ? CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT
                                                                 : CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET;
    return translated(CUBLAS("MatrixLayoutSetAttribute", CUBLASLtLayoutSet)(
        (cublasLtMatrixLayout_t)layout, attribute, value, bytes));
}

static hipblasStatus_t setPreference(
    hipblasLtMatmulPreference_t preference, int32_t attribute, const void *value, size_t bytes) {
    if (attribute != HIPBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES) return 3;
    return translated(CUBLAS("MatmulPreferenceSetAttribute", CUBLASLtPreferenceSet)(
        (cublasLtMatmulPreference_t)preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, value, bytes));
}

static hipblasStatus_t heuristic(
    hipblasLtHandle_t handle, hipblasLtMatmulDesc_t descriptor, hipblasLtMatrixLayout_t a,
    hipblasLtMatrixLayout_t b, hipblasLtMatrixLayout_t c, hipblasLtMatrixLayout_t d,
    hipblasLtMatmulPreference_t preference, int32_t wanted, hipblasLtMatmulHeuristicResult_t *results,
    int32_t *found) {
    if (!handle || !descriptor || !a || !b || !c || !d || !preference || wanted < 1) return 3;
    memset(results, 0, sizeof *results);
    results->algo.data[1] = 23;
    *found = 1;
    return 0;
}

static hipblasStatus_t multiply(
    hipblasLtHandle_t handle, hipblasLtMatmulDesc_t descriptor, const void *alpha, const void *a,
    hipblasLtMatrixLayout_t aLayout, const void *b, hipblasLtMatrixLayout_t bLayout, const void *beta,
    const void *c, hipblasLtMatrixLayout_t cLayout, void *d, hipblasLtMatrixLayout_t dLayout,
    const hipblasLtMatmulAlgo_t *algorithm, void *workspace, size_t bytes, hipStream_t stream) {
    NEEDS_CONTEXT;
    if (algorithm->data[1] != 23) return 3;
    cublasLtMatmulAlgo_t own = {.data = {[3] = 17}};
    return translated(CUBLAS("Matmul", CUBLASLtMultiply)(
        (cublasLtHandle_t)handle, (cublasLtMatmulDesc_t)descriptor, alpha, a, (cublasLtMatrixLayout_t)aLayout, b,
        (cublasLtMatrixLayout_t)bLayout, beta, c, (cublasLtMatrixLayout_t)cLayout, d, (cublasLtMatrixLayout_t)dLayout,
        &own, workspace, bytes, (CUstream)stream));
}

static const FakeSymbol symbols[] = {
    {"hipblasLtGetVersion", version},
    {"hipblasLtCreate", create},
    {"hipblasLtMatmulDescCreate", createDescriptor},
    {"hipblasLtMatmulDescSetAttribute", setDescriptor},
    {"hipblasLtMatrixLayoutSetAttribute", setLayout},
    {"hipblasLtMatmulPreferenceSetAttribute", setPreference},
    {"hipblasLtMatmulAlgoGetHeuristic", heuristic},
    {"hipblasLtMatmul", multiply},
};

static const char *const same[][2] = {
    {"hipblasLtMatmulDescDestroy", "cublasLtMatmulDescDestroy"},
    {"hipblasLtMatrixLayoutCreate", "cublasLtMatrixLayoutCreate"},
    {"hipblasLtMatrixLayoutDestroy", "cublasLtMatrixLayoutDestroy"},
    {"hipblasLtMatmulPreferenceCreate", "cublasLtMatmulPreferenceCreate"},
    {"hipblasLtMatmulPreferenceDestroy", "cublasLtMatmulPreferenceDestroy"},
};

void *fake_hipblaslt_symbol(const char *name) {
    void *address = fake_find(symbols, sizeof symbols / sizeof symbols[0], name);
    for (size_t i = 0; !address && i < sizeof same / sizeof same[0]; i++)
        if (strcmp(same[i][0], name) == 0) address = fake_cuda_symbol(same[i][1]);
    return address;
}
