#include "Fake.h"
#include <math.h>

// cuBLASLt as its documentation describes it: matrices stored by columns, D = alpha op(A) op(B) + beta C.

struct cublasLtMatmulDescOpaque {
    int32_t transposeA, transposeB, computeType;
    const float *scaleA, *scaleB;
    int8_t fastSums;
};

struct cublasLtMatrixLayoutOpaque {
    cudaDataType_t type;
    uint64_t rows, columns;
    int64_t leading;
    int32_t count;
    int64_t batchStride;
};

static cublasStatus_t create(cublasLtHandle_t *handle) {
    if (fake_forbids_taking()) return 1;
    *handle = malloc(1);
    return 0;
}

static size_t version(void) { return 130100; }

static const char *statusText(cublasStatus_t status) { return status ? "a failure" : "success"; }

static cublasStatus_t createDescriptor(
    cublasLtMatmulDesc_t *descriptor, cublasComputeType_t computeType, cudaDataType_t scaleType) {
    *descriptor = calloc(1, sizeof **descriptor);
    (*descriptor)->computeType = computeType;
    return scaleType == CUDA_R_32F ? 0 : 7;
}

static cublasStatus_t setDescriptor(
    cublasLtMatmulDesc_t descriptor, int32_t attribute, const void *value, size_t bytes) {
    switch (attribute) {
    case CUBLASLT_MATMUL_DESC_TRANSA:
        memcpy(&descriptor->transposeA, value, 4);
        return bytes == 4 ? 0 : 7;
    case CUBLASLT_MATMUL_DESC_TRANSB:
        memcpy(&descriptor->transposeB, value, 4);
        return bytes == 4 ? 0 : 7;
    case CUBLASLT_MATMUL_DESC_A_SCALE_POINTER:
        memcpy(&descriptor->scaleA, value, sizeof descriptor->scaleA);
        return bytes == sizeof descriptor->scaleA ? 0 : 7;
    case CUBLASLT_MATMUL_DESC_B_SCALE_POINTER:
        memcpy(&descriptor->scaleB, value, sizeof descriptor->scaleB);
        return bytes == sizeof descriptor->scaleB ? 0 : 7;
    case CUBLASLT_MATMUL_DESC_FAST_ACCUM:
        memcpy(&descriptor->fastSums, value, 1);
        return bytes == 1 ? 0 : 7;
    default: return 7;
    }
}

static cublasStatus_t destroyDescriptor(cublasLtMatmulDesc_t descriptor) {
    free(descriptor);
    return 0;
}

static cublasStatus_t createLayout(
    cublasLtMatrixLayout_t *layout, cudaDataType_t type, uint64_t rows, uint64_t columns, int64_t leading) {
    if (leading < (int64_t)rows || rows == 0 || columns == 0) return 7;
    *layout = malloc(sizeof **layout);
    **layout = (struct cublasLtMatrixLayoutOpaque){type, rows, columns, leading, 1, 0};
    return 0;
}

static cublasStatus_t setLayout(
    cublasLtMatrixLayout_t layout, int32_t attribute, const void *value, size_t bytes) {
    if (attribute == CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT && bytes == 4) {
        memcpy(&layout->count, value, 4);
        return layout->count > 0 ? 0 : 7;
    }
    if (attribute == CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET && bytes == 8) {
        memcpy(&layout->batchStride, value, 8);
        return 0;
    }
    return 7;
}

static cublasStatus_t destroyLayout(cublasLtMatrixLayout_t layout) {
    free(layout);
    return 0;
}

static cublasStatus_t createPreference(cublasLtMatmulPreference_t *preference) {
    *preference = malloc(1);
    return 0;
}

static cublasStatus_t setPreference(
    cublasLtMatmulPreference_t preference, int32_t attribute, const void *value, size_t bytes) {
    (void)preference;
    switch (attribute) {
    case CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES:
        memcpy(&state.workspace_bytes, value, 8);
        return bytes == 8 ? 0 : 7;
    case CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK: memcpy(&state.reduction_mask, value, 4); break;
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES:
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES:
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES:
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES:
        memcpy(&state.alignments[attribute - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES], value, 4);
        break;
    default: return 7;
    }
    return bytes == 4 ? 0 : 7;
}

static cublasStatus_t destroyPreference(cublasLtMatmulPreference_t preference) {
    free(preference);
    return 0;
}

static cublasStatus_t heuristic(
    cublasLtHandle_t handle, cublasLtMatmulDesc_t descriptor, cublasLtMatrixLayout_t a,
    cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
    cublasLtMatmulPreference_t preference, int32_t wanted, cublasLtMatmulHeuristicResult_t *results,
    int32_t *found) {
    if (!handle || !descriptor || !a || !b || !c || !d || !preference || wanted < 1) return 7;
    static const float waves[] = {4, 9, 2};
    *found = wanted < 3 ? wanted : 3;
    memset(results, 0, *found * sizeof *results);
    for (int32_t i = 0; i < *found; i++) {
        results[i].algo.data[3] = 17 + i;
        results[i].wavesCount = waves[i];
    }
    return 0;
}

/// A number of 8 bits: a sign, an exponent, and a fraction of so many bits.
static float eightBits(uint8_t code, int32_t fractionBits, int32_t bias) {
    int32_t exponent = (code & 0x7F) >> fractionBits;
    int32_t fraction = code & ((1 << fractionBits) - 1);
    float value;
    if (fractionBits == 3 && (code & 0x7F) == 0x7F) {
        value = NAN;
    } else if (fractionBits == 2 && exponent == 31) {
        value = fraction ? NAN : INFINITY;
    } else if (exponent == 0) {
        value = ldexpf((float)fraction, 1 - bias - fractionBits);
    } else {
        value = ldexpf((float)(fraction + (1 << fractionBits)), exponent - bias - fractionBits);
    }
    return code & 0x80 ? -value : value;
}

static int32_t isEightBits(cudaDataType_t type) { return type == CUDA_R_8F_E4M3 || type == CUDA_R_8F_E5M2; }

static float load(const void *base, cudaDataType_t type, int64_t i) {
    if (type == CUDA_R_32F) return ((const float *)base)[i];
    if (type == CUDA_R_8F_E4M3) return eightBits(((const uint8_t *)base)[i], 3, 7);
    if (type == CUDA_R_8F_E5M2) return eightBits(((const uint8_t *)base)[i], 2, 15);
    uint32_t bits = (uint32_t)((const uint16_t *)base)[i] << 16;
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

static void store(void *base, cudaDataType_t type, int64_t i, float value) {
    if (type == CUDA_R_32F) {
        ((float *)base)[i] = value;
        return;
    }
    uint32_t bits;
    memcpy(&bits, &value, 4);
    ((uint16_t *)base)[i] = (uint16_t)((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
}

static int64_t place(cublasLtMatrixLayout_t layout, int32_t matrix, uint64_t row, uint64_t column) {
    return matrix * layout->batchStride + (int64_t)row + (int64_t)column * layout->leading;
}

/// One matrix of a factor as doubles: for each step of the sums, the numbers of all rows or columns of the result.
static double *widened(
    const void *base, cublasLtMatrixLayout_t layout, int32_t matrix, int32_t isByStep, uint64_t steps,
    uint64_t size) {
    double *wide = malloc(steps * size * sizeof *wide);
    for (uint64_t i = 0; i < size; i++)
        for (uint64_t k = 0; k < steps; k++) {
            int64_t at = isByStep ? place(layout, matrix, k, i) : place(layout, matrix, i, k);
            wide[k * size + i] = load(base, layout->type, at);
        }
    return wide;
}

/// The sums of products for one column of the result, in the order of steps; those of all rows side by side.
static void sumColumn(
    double *sums, const double *a, const double *b, uint64_t column, uint64_t rows, uint64_t columns,
    uint64_t steps) {
    memset(sums, 0, rows * sizeof *sums);
    for (uint64_t k = 0; k < steps; k++) {
        double factor = b[k * columns + column];
        const double *other = a + k * rows;
        for (uint64_t row = 0; row < rows; row++) sums[row] += other[row] * factor;
    }
}

/// What products of 8-bit factors need on Hopper: both contiguous along the sums, sizes and places that are multiples of
/// 16 bytes, a scale each, and not both of e5m2.
static cublasStatus_t checkEightBits(
    cublasLtMatmulDesc_t descriptor, const void *a, cublasLtMatrixLayout_t aLayout, const void *b,
    cublasLtMatrixLayout_t bLayout, cublasLtMatrixLayout_t dLayout) {
    if (!isEightBits(aLayout->type) && !isEightBits(bLayout->type)) {
        if (descriptor->scaleA || descriptor->scaleB || descriptor->fastSums) return 7;
        return aLayout->type == bLayout->type ? 0 : 15;
    }
    if (!isEightBits(aLayout->type) || !isEightBits(bLayout->type)) return 15;
    if (aLayout->type == CUDA_R_8F_E5M2 && bLayout->type == CUDA_R_8F_E5M2) return 15;
    if (!descriptor->transposeA || descriptor->transposeB) return 15;
    if (!descriptor->scaleA || !descriptor->scaleB) return 7;
    if (((uintptr_t)a | (uintptr_t)b) % 16 || (aLayout->leading | bLayout->leading) % 16) return 15;
    if (aLayout->rows % 16 || dLayout->rows % 16) return 15;
    state.float8_products += 1;
    state.fast_sums = descriptor->fastSums;
    return 0;
}

/// A product as it was handed in.
typedef struct {
    struct cublasLtMatmulDescOpaque descriptor;
    struct cublasLtMatrixLayoutOpaque aLayout, bLayout, cLayout, dLayout;
    const void *a, *b, *c;
    void *d;
    float alpha, beta;
} Product;

/// Does it, now or when its captured graph is launched.
static void perform(void *argument) {
    Product *product = argument;
    const struct cublasLtMatmulDescOpaque *descriptor = &product->descriptor;
    cublasLtMatrixLayout_t aLayout = &product->aLayout, cLayout = &product->cLayout, dLayout = &product->dLayout;
    uint64_t rows = dLayout->rows, columns = dLayout->columns;
    uint64_t inner = descriptor->transposeA ? aLayout->rows : aLayout->columns;
    float scale = product->alpha, keep = product->beta;
    if (isEightBits(aLayout->type)) scale *= *descriptor->scaleA * *descriptor->scaleB;
    double *sums = malloc(rows * sizeof *sums);
    for (int32_t i = 0; i < dLayout->count; i++) {
        double *wideA = widened(product->a, aLayout, i, descriptor->transposeA, inner, rows);
        double *wideB = widened(product->b, &product->bLayout, i, !descriptor->transposeB, inner, columns);
        for (uint64_t column = 0; column < columns; column++) {
            sumColumn(sums, wideA, wideB, column, rows, columns, inner);
            for (uint64_t row = 0; row < rows; row++) {
                int64_t from = place(cLayout, i, row, column), to = place(dLayout, i, row, column);
                double kept = keep == 0 ? 0 : keep * (double)load(product->c, cLayout->type, from);
                store(product->d, dLayout->type, to, (float)(scale * sums[row] + kept));
            }
        }
        free(wideA);
        free(wideB);
    }
    free(sums);
}

static cublasStatus_t multiply(
    cublasLtHandle_t handle, cublasLtMatmulDesc_t descriptor, const void *alpha, const void *a,
    cublasLtMatrixLayout_t aLayout, const void *b, cublasLtMatrixLayout_t bLayout, const void *beta,
    const void *c, cublasLtMatrixLayout_t cLayout, void *d, cublasLtMatrixLayout_t dLayout,
    const cublasLtMatmulAlgo_t *algorithm, void *workspace, size_t workspaceBytes, CUstream stream) {
    if (!handle || !workspace || algorithm->data[3] - 17 > 2 || !stream) return 7;
    if (descriptor->computeType != CUBLAS_COMPUTE_32F || workspaceBytes != state.workspace_bytes) return 7;
    uint64_t rows = descriptor->transposeA ? aLayout->columns : aLayout->rows;
    uint64_t inner = descriptor->transposeA ? aLayout->rows : aLayout->columns;
    uint64_t columns = descriptor->transposeB ? bLayout->rows : bLayout->columns;
    uint64_t innerB = descriptor->transposeB ? bLayout->columns : bLayout->rows;
    if (inner != innerB || rows != dLayout->rows || columns != dLayout->columns) return 7;
    if (cLayout->type != dLayout->type) return 15;
    cublasStatus_t status = checkEightBits(descriptor, a, aLayout, b, bLayout, dLayout);
    if (status) return status;
    if (aLayout->type == CUDA_R_16F || dLayout->type == CUDA_R_16F) return 15;
    int32_t count = dLayout->count;
    if (aLayout->count != count || bLayout->count != count || cLayout->count != count) return 7;
    // One that is captured is done again and again, so it lives on.
    Product *product = malloc(sizeof *product);
    *product = (Product){*descriptor, *aLayout, *bLayout, *cLayout, *dLayout, a, b, c, d, 0, 0};
    memcpy(&product->alpha, alpha, 4);
    memcpy(&product->beta, beta, 4);
    if (!fake_capture(perform, product)) {
        perform(product);
        free(product);
    }
    state.products += 1;
    state.algorithm = (int32_t)algorithm->data[3] - 17;
    return 0;
}

static const FakeSymbol symbols[] = {
    {"cublasLtCreate", create},
    {"cublasLtGetVersion", version},
    {"cublasLtGetStatusString", statusText},
    {"cublasLtMatmulDescCreate", createDescriptor},
    {"cublasLtMatmulDescSetAttribute", setDescriptor},
    {"cublasLtMatmulDescDestroy", destroyDescriptor},
    {"cublasLtMatrixLayoutCreate", createLayout},
    {"cublasLtMatrixLayoutSetAttribute", setLayout},
    {"cublasLtMatrixLayoutDestroy", destroyLayout},
    {"cublasLtMatmulPreferenceCreate", createPreference},
    {"cublasLtMatmulPreferenceSetAttribute", setPreference},
    {"cublasLtMatmulPreferenceDestroy", destroyPreference},
    {"cublasLtMatmulAlgoGetHeuristic", heuristic},
    {"cublasLtMatmul", multiply},
};

void *fake_products_symbol(const char *name) {
    return fake_find(symbols, sizeof symbols / sizeof symbols[0], name);
}
