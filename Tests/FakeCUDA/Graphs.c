#include "Fake.h"
#include <math.h>

// cuDNN's graph interface: descriptors keep what they are given; running a plan computes every operation of its
// graph in order, in fp32, and rounds to 16 bits where a value is of such a type. So a wrong stride, mask or
// factor shows in the numbers.

typedef struct {
    cudnnBackendAttributeName_t name;
    int64_t count;
    uint8_t *bytes;
} Attribute;

typedef struct Descriptor {
    cudnnBackendDescriptorType_t kind;
    int32_t is_finalized;
    int32_t count;
    Attribute attributes[16];
} Descriptor;

static const size_t sizes[] = {8, 4, 1, 8, 4, 8, 8, 4, 4};

static size_t sizeOfType(cudnnBackendAttributeType_t type) {
    if (type == CUDNN_TYPE_BACKEND_DESCRIPTOR) return 8;
    return type < 9 ? sizes[type] : 4;
}

static const Attribute *find(const Descriptor *descriptor, int32_t name) {
    for (int32_t i = 0; i < descriptor->count; i++)
        if (descriptor->attributes[i].name == name) return &descriptor->attributes[i];
    return NULL;
}

static int32_t choice(const Descriptor *descriptor, int32_t name) {
    int32_t value = -1;
    const Attribute *attribute = find(descriptor, name);
    if (attribute) memcpy(&value, attribute->bytes, 4);
    return value;
}

static const int64_t *numbers(const Descriptor *descriptor, int32_t name) {
    const Attribute *attribute = find(descriptor, name);
    return attribute ? (const int64_t *)attribute->bytes : NULL;
}

static Descriptor *part(const Descriptor *descriptor, int32_t name) {
    const Attribute *attribute = find(descriptor, name);
    return attribute ? *(Descriptor **)attribute->bytes : NULL;
}

// MARK: - Descriptors

static size_t version(void) { return (size_t)state.cudnn_version; }
static size_t cudaVersion(void) { return 13000; }
static const char *statusText(cudnnStatus_t status) { return status ? "a failure" : "success"; }
static void lastError(char *text, size_t bytes) { snprintf(text, bytes, "what the library says"); }

static cudnnStatus_t create(cudnnHandle_t *handle) {
    if (fake_forbids_taking()) return CUDNN_STATUS_NOT_INITIALIZED;
    CUcontext current;
    if (fake_current_context(&current) || !current || fake_cuda_is_in_foreign_context())
        return CUDNN_STATUS_NOT_INITIALIZED;
    *handle = malloc(1);
    return 0;
}

static cudnnStatus_t setStream(cudnnHandle_t handle, CUstream stream) {
    state.graph_stream = stream;
    return handle ? 0 : 2000;
}

static cudnnStatus_t createDescriptor(cudnnBackendDescriptorType_t kind, cudnnBackendDescriptor_t *made) {
    Descriptor *descriptor = calloc(1, sizeof *descriptor);
    descriptor->kind = kind;
    *made = descriptor;
    state.descriptors += 1;
    return 0;
}

static cudnnStatus_t destroyDescriptor(cudnnBackendDescriptor_t handle) {
    Descriptor *descriptor = handle;
    for (int32_t i = 0; i < descriptor->count; i++) free(descriptor->attributes[i].bytes);
    free(descriptor);
    state.descriptors -= 1;
    return 0;
}

static cudnnStatus_t set(
    cudnnBackendDescriptor_t handle, int32_t name, int32_t type, int64_t count, const void *values) {
    Descriptor *descriptor = handle;
    if (descriptor->is_finalized || descriptor->count == 16 || count < 1) return 2000;
    if (type == CUDNN_TYPE_BACKEND_DESCRIPTOR)
        for (int64_t i = 0; i < count; i++)
            if (!((Descriptor *const *)values)[i]->is_finalized) return 2004;
    size_t bytes = sizeOfType(type) * (size_t)count;
    Attribute attribute = {name, count, malloc(bytes)};
    memcpy(attribute.bytes, values, bytes);
    descriptor->attributes[descriptor->count++] = attribute;
    return 0;
}

static int32_t isWhole(const Descriptor *tensor) {
    const int64_t *sizes = numbers(tensor, CUDNN_ATTR_TENSOR_DIMENSIONS);
    const Attribute *strides = find(tensor, CUDNN_ATTR_TENSOR_STRIDES);
    if (!sizes || !strides || strides->count != 4 || !numbers(tensor, CUDNN_ATTR_TENSOR_UNIQUE_ID)) return 0;
    for (int i = 0; i < 4; i++)
        if (sizes[i] < 1) return 0;
    return choice(tensor, CUDNN_ATTR_TENSOR_DATA_TYPE) >= 0;
}

static cudnnStatus_t finalize(cudnnBackendDescriptor_t handle) {
    Descriptor *descriptor = handle;
    if (descriptor->kind == CUDNN_BACKEND_TENSOR_DESCRIPTOR && !isWhole(descriptor)) return 2000;
    if (descriptor->kind == CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR && state.refuses_graphs)
        return CUDNN_STATUS_NOT_SUPPORTED;
    if (descriptor->kind == CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR) state.graph_plans += 1;
    descriptor->is_finalized = 1;
    return 0;
}

/// One engine for any graph, which carries the graph to the plan.
static cudnnStatus_t get(
    cudnnBackendDescriptor_t handle, int32_t name, int32_t type, int64_t wanted, int64_t *found,
    void *values) {
    Descriptor *descriptor = handle;
    if (!descriptor->is_finalized || wanted < 1) return 2004;
    *found = 1;
    if (name == CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE && type == CUDNN_TYPE_INT64) {
        *(int64_t *)values = state.graph_workspace;
        return 0;
    }
    if (name != CUDNN_ATTR_ENGINEHEUR_RESULTS || choice(descriptor, CUDNN_ATTR_ENGINEHEUR_MODE) != 3)
        return 2000;
    Descriptor *engine = *(Descriptor **)values;
    const Attribute *graph = find(descriptor, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH);
    set(engine, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, graph->bytes);
    engine->is_finalized = 1;
    return 0;
}

// MARK: - Running

/// What one run knows of values: where operands lie, and dense fp32 numbers of all.
typedef struct {
    int64_t identifiers[128];
    float *values[128];
    int32_t count;
    int64_t given[32];
    void *addresses[32];
    int64_t givenCount;
} Run;

static int64_t countOf(const int64_t *sizes) { return sizes[0] * sizes[1] * sizes[2] * sizes[3]; }

static float loadAt(const void *base, int32_t type, int64_t i) {
    if (type == CUDNN_DATA_FLOAT) return ((const float *)base)[i];
    uint32_t bits = (uint32_t)((const uint16_t *)base)[i] << 16;
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

static uint16_t rounded(float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    return (uint16_t)((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
}

static int64_t identifierOf(const Descriptor *tensor) {
    return *numbers(tensor, CUDNN_ATTR_TENSOR_UNIQUE_ID);
}

static void *addressOf(const Run *run, int64_t identifier) {
    for (int64_t i = 0; i < run->givenCount; i++)
        if (run->given[i] == identifier) return run->addresses[i];
    return NULL;
}

static int64_t placeOf(const int64_t *strides, const int64_t *at) {
    return at[0] * strides[0] + at[1] * strides[1] + at[2] * strides[2] + at[3] * strides[3];
}

/// The four positions of the nth element of a dense array.
static void unravel(int64_t n, const int64_t *sizes, int64_t *at) {
    for (int i = 3; i >= 0; i--) {
        at[i] = n % sizes[i];
        n /= sizes[i];
    }
}

/// Numbers of a value, side by side: made before, or gathered from its operand's memory.
static float *valueOf(Run *run, const Descriptor *tensor) {
    int64_t identifier = identifierOf(tensor);
    for (int32_t i = 0; i < run->count; i++)
        if (run->identifiers[i] == identifier) return run->values[i];
    const int64_t *sizes = numbers(tensor, CUDNN_ATTR_TENSOR_DIMENSIONS);
    const int64_t *strides = numbers(tensor, CUDNN_ATTR_TENSOR_STRIDES);
    float *values = calloc((size_t)countOf(sizes), sizeof(float));
    const void *base = addressOf(run, identifier);
    for (int64_t i = 0, at[4]; base && i < countOf(sizes); i++) {
        unravel(i, sizes, at);
        values[i] = loadAt(base, choice(tensor, CUDNN_ATTR_TENSOR_DATA_TYPE), placeOf(strides, at));
    }
    run->identifiers[run->count] = identifier;
    run->values[run->count++] = values;
    return values;
}

/// Rounds what an operation made to its type, and writes it to its place if it has one.
static void finish(Run *run, const Descriptor *tensor) {
    const int64_t *sizes = numbers(tensor, CUDNN_ATTR_TENSOR_DIMENSIONS);
    const int64_t *strides = numbers(tensor, CUDNN_ATTR_TENSOR_STRIDES);
    int32_t type = choice(tensor, CUDNN_ATTR_TENSOR_DATA_TYPE);
    float *values = valueOf(run, tensor);
    void *base = addressOf(run, identifierOf(tensor));
    for (int64_t i = 0, at[4]; i < countOf(sizes); i++) {
        uint16_t bits = rounded(values[i]);
        if (type == CUDNN_DATA_BFLOAT16) values[i] = loadAt(&bits, type, 0);
        if (!base) continue;
        unravel(i, sizes, at);
        if (type == CUDNN_DATA_FLOAT) ((float *)base)[placeOf(strides, at)] = values[i];
        if (type == CUDNN_DATA_BFLOAT16) ((uint16_t *)base)[placeOf(strides, at)] = bits;
    }
}

/// The element of a value with sizes of 1, or of fewer heads, that belongs to a position.
static float at(const float *values, const int64_t *sizes, const int64_t *position, const int64_t *of) {
    int64_t n = 0;
    for (int i = 0; i < 4; i++) n = n * sizes[i] + (sizes[i] == of[i] ? position[i] : position[i] * sizes[i] / of[i]);
    return values[n];
}

static float pointwise(int32_t mode, float x, float y, float condition, int64_t position) {
    switch (mode) {
    case CUDNN_POINTWISE_ADD: return x + y;
    case CUDNN_POINTWISE_MUL: return x * y;
    case CUDNN_POINTWISE_DIV: return x / y;
    case CUDNN_POINTWISE_SUB: return x - y;
    case CUDNN_POINTWISE_EXP: return expf(x);
    case CUDNN_POINTWISE_LOG: return logf(x);
    case CUDNN_POINTWISE_CMP_GT: return x > y;
    case CUDNN_POINTWISE_CMP_GE: return x >= y;
    case CUDNN_POINTWISE_GEN_INDEX: return (float)position;
    case CUDNN_POINTWISE_BINARY_SELECT: return condition != 0 ? x : y;
    default: return x;
    }
}

static void runPointwise(Run *run, const Descriptor *operation) {
    const Descriptor *settings = part(operation, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR);
    const Descriptor *x = part(operation, CUDNN_ATTR_OPERATION_POINTWISE_XDESC);
    const Descriptor *y = part(operation, CUDNN_ATTR_OPERATION_POINTWISE_BDESC);
    const Descriptor *t = part(operation, CUDNN_ATTR_OPERATION_POINTWISE_TDESC);
    const Descriptor *result = part(operation, CUDNN_ATTR_OPERATION_POINTWISE_YDESC);
    const int64_t *sizes = numbers(result, CUDNN_ATTR_TENSOR_DIMENSIONS);
    const int64_t *axis = numbers(settings, CUDNN_ATTR_POINTWISE_AXIS);
    const int64_t *ySizes = y ? numbers(y, CUDNN_ATTR_TENSOR_DIMENSIONS) : NULL;
    const float *xs = valueOf(run, x), *ys = y ? valueOf(run, y) : NULL, *ts = t ? valueOf(run, t) : NULL;
    float *values = valueOf(run, result);
    for (int64_t i = 0, position[4]; i < countOf(sizes); i++) {
        unravel(i, sizes, position);
        values[i] = pointwise(
            choice(settings, CUDNN_ATTR_POINTWISE_MODE), xs[i], ys ? at(ys, ySizes, position, sizes) : 0,
            ts ? ts[i] : 0, axis ? position[*axis] : 0);
    }
    finish(run, result);
}

static void runProduct(Run *run, const Descriptor *operation) {
    const Descriptor *a = part(operation, CUDNN_ATTR_OPERATION_MATMUL_ADESC);
    const Descriptor *b = part(operation, CUDNN_ATTR_OPERATION_MATMUL_BDESC);
    const Descriptor *c = part(operation, CUDNN_ATTR_OPERATION_MATMUL_CDESC);
    const int64_t *aSizes = numbers(a, CUDNN_ATTR_TENSOR_DIMENSIONS);
    const int64_t *bSizes = numbers(b, CUDNN_ATTR_TENSOR_DIMENSIONS);
    const int64_t *sizes = numbers(c, CUDNN_ATTR_TENSOR_DIMENSIONS);
    const float *as = valueOf(run, a), *bs = valueOf(run, b);
    float *values = valueOf(run, c);
    int64_t inner = aSizes[3];
    for (int64_t i = 0, p[4]; i < countOf(sizes); i++) {
        unravel(i, sizes, p);
        const float *row = as + ((p[0] * aSizes[1] + p[1]) * aSizes[2] + p[2]) * inner;
        const float *matrix = bs + (p[0] * bSizes[1] + p[1] * bSizes[1] / sizes[1]) * inner * sizes[3];
        double sum = 0;
        for (int64_t k = 0; k < inner; k++) sum += (double)row[k] * matrix[k * sizes[3] + p[3]];
        values[i] = (float)sum;
    }
    finish(run, c);
}

static void runReduction(Run *run, const Descriptor *operation) {
    const Descriptor *settings = part(operation, CUDNN_ATTR_OPERATION_REDUCTION_DESC);
    const Descriptor *x = part(operation, CUDNN_ATTR_OPERATION_REDUCTION_XDESC);
    const Descriptor *y = part(operation, CUDNN_ATTR_OPERATION_REDUCTION_YDESC);
    const int64_t *xSizes = numbers(x, CUDNN_ATTR_TENSOR_DIMENSIONS);
    const int64_t *sizes = numbers(y, CUDNN_ATTR_TENSOR_DIMENSIONS);
    int32_t isMaximum = choice(settings, CUDNN_ATTR_REDUCTION_OPERATOR) == CUDNN_REDUCE_TENSOR_MAX;
    const float *xs = valueOf(run, x);
    float *values = valueOf(run, y);
    for (int64_t i = 0; i < countOf(sizes); i++) values[i] = isMaximum ? -INFINITY : 0;
    for (int64_t i = 0, p[4]; i < countOf(xSizes); i++) {
        unravel(i, xSizes, p);
        int64_t n = 0;
        for (int d = 0; d < 4; d++) n = n * sizes[d] + p[d] * sizes[d] / xSizes[d];
        values[n] = isMaximum ? fmaxf(values[n], xs[i]) : values[n] + xs[i];
    }
    finish(run, y);
}

/// The last two dimensions exchanged.
static void runTransposition(Run *run, const Descriptor *operation) {
    const Descriptor *x = part(operation, CUDNN_ATTR_OPERATION_RESHAPE_XDESC);
    const Descriptor *y = part(operation, CUDNN_ATTR_OPERATION_RESHAPE_YDESC);
    const int64_t *sizes = numbers(y, CUDNN_ATTR_TENSOR_DIMENSIONS);
    const float *xs = valueOf(run, x);
    float *values = valueOf(run, y);
    for (int64_t i = 0, p[4]; i < countOf(sizes); i++) {
        unravel(i, sizes, p);
        values[i] = xs[((p[0] * sizes[1] + p[1]) * sizes[3] + p[3]) * sizes[2] + p[2]];
    }
    finish(run, y);
}

typedef struct {
    const Descriptor *graph;
    Run run;
} Job;

/// Does what was handed in, now or when its captured graph is launched.
static void perform(void *argument) {
    Job *job = argument;
    Run run = job->run;
    const Attribute *operations = find(job->graph, CUDNN_ATTR_OPERATIONGRAPH_OPS);
    for (int64_t i = 0; i < operations->count; i++) {
        const Descriptor *operation = ((Descriptor *const *)operations->bytes)[i];
        switch (operation->kind) {
        case CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR: runPointwise(&run, operation); break;
        case CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR: runProduct(&run, operation); break;
        case CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR: runReduction(&run, operation); break;
        case CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR: runTransposition(&run, operation); break;
        default: break;
        }
    }
    for (int32_t i = 0; i < run.count; i++) free(run.values[i]);
    state.graph_runs += 1;
}

static cudnnStatus_t execute(
    cudnnHandle_t handle, cudnnBackendDescriptor_t planHandle, cudnnBackendDescriptor_t packHandle) {
    const Descriptor *plan = planHandle, *pack = packHandle;
    if (!handle || !plan->is_finalized || !pack->is_finalized || state.fails_graphs)
        return CUDNN_STATUS_EXECUTION_FAILED;
    const Attribute *identifiers = find(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS);
    const Attribute *addresses = find(pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS);
    if (identifiers->count != addresses->count) return 2000;
    memcpy(&state.graph_workspace_given, find(pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE)->bytes, 8);
    if (state.graph_workspace > 0 && !state.graph_workspace_given) return 2002;
    // A job that is captured is done again and again, so it lives on.
    Job *job = calloc(1, sizeof *job);
    const Descriptor *engine = part(plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG);
    job->graph = part(engine, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH);
    job->run.givenCount = identifiers->count;
    memcpy(job->run.given, identifiers->bytes, 8 * (size_t)identifiers->count);
    memcpy(job->run.addresses, addresses->bytes, 8 * (size_t)addresses->count);
    for (int64_t i = 0; i < identifiers->count; i++)
        if (!job->run.addresses[i] || (uintptr_t)job->run.addresses[i] % 4) return 2003;
    if (fake_capture(perform, job)) return 0;
    perform(job);
    free(job);
    return 0;
}

static const FakeSymbol symbols[] = {
    {"cudnnGetVersion", version},
    {"cudnnGetCudartVersion", cudaVersion},
    {"cudnnGetErrorString", statusText},
    {"cudnnGetLastErrorString", lastError},
    {"cudnnCreate", create},
    {"cudnnSetStream", setStream},
    {"cudnnBackendCreateDescriptor", createDescriptor},
    {"cudnnBackendDestroyDescriptor", destroyDescriptor},
    {"cudnnBackendFinalize", finalize},
    {"cudnnBackendSetAttribute", set},
    {"cudnnBackendGetAttribute", get},
    {"cudnnBackendExecute", execute},
};

void *fake_graphs_symbol(const char *name) {
    return fake_find(symbols, sizeof symbols / sizeof symbols[0], name);
}
