#include "Fake.h"

// Work captured in a stream, and the graphs made of it.

// What would have been done, in order.
typedef struct {
    enum { LAUNCH, COPY, FILL, OTHER } kind;
    CUfunction function;
    void (*perform)(void *);
    size_t bytes;
    void *target;
    const void *source;
    uint8_t value;
    uint8_t parameters[1024];
} Operation;

struct CUgraph_st {
    size_t count, room;
    Operation *operations;
};
struct CUgraphExec_st {
    struct CUgraph_st graph;
};

static CUgraph recording;

/// Notes an operation in the graph that is being captured; 0 if none is.
static int32_t record(Operation operation) {
    if (!recording) return 0;
    if (recording->count == recording->room) {
        recording->room = 2 * recording->room + 64;
        recording->operations = realloc(recording->operations, recording->room * sizeof operation);
    }
    recording->operations[recording->count++] = operation;
    return 1;
}

int32_t fake_capture(void (*perform)(void *), void *argument) {
    return record((Operation){.kind = OTHER, .perform = perform, .target = argument});
}

int32_t fake_capture_launch(CUfunction function) {
    Operation operation = {.kind = LAUNCH, .function = function, .bytes = state.parameter_bytes};
    memcpy(operation.parameters, state.parameters, state.parameter_bytes);
    return record(operation);
}

int32_t fake_capture_copy(void *target, const void *source, size_t bytes) {
    return record((Operation){.kind = COPY, .target = target, .source = source, .bytes = bytes});
}

int32_t fake_capture_fill(void *target, uint8_t value, size_t bytes) {
    return record((Operation){.kind = FILL, .target = target, .value = value, .bytes = bytes});
}

int32_t fake_forbids_waiting(void) {
    if (!recording) return 0;
    state.capturing = 2;
    return 1;
}

// The mode that a thread begins with: it heeds the captures of all.
static _Thread_local int32_t thread_mode;

int32_t fake_cuda_heeds_captures(void) { return thread_mode == 0; }

int32_t fake_forbids_taking(void) {
    if (!state.foreign_capture || thread_mode == CU_STREAM_CAPTURE_MODE_RELAXED) return 0;
    state.foreign_capture = 2;
    return 1;
}

static CUresult exchangeMode(int32_t *mode) {
    if (*mode < 0 || *mode > CU_STREAM_CAPTURE_MODE_RELAXED) return 1;
    int32_t before = thread_mode;
    thread_mode = *mode;
    *mode = before;
    return 0;
}

static CUresult isCapturing(CUstream stream, int32_t *status) {
    NEEDS_CONTEXT;
    (void)stream;
    *status = state.capturing;
    return 0;
}

static CUresult beginCapture(CUstream stream, int32_t mode) {
    NEEDS_CONTEXT;
    if (!stream || mode != CU_STREAM_CAPTURE_MODE_RELAXED || recording) return 1;
    recording = calloc(1, sizeof *recording);
    state.capturing = 1;
    return 0;
}

static CUresult destroyGraph(CUgraph graph) {
    free(graph->operations);
    free(graph);
    return 0;
}

static CUresult endCapture(CUstream stream, CUgraph *graph) {
    NEEDS_CONTEXT;
    if (!stream || !recording) return 1;
    int32_t isValid = state.capturing == 1;
    *graph = isValid ? recording : NULL;
    if (!isValid) destroyGraph(recording);
    recording = NULL;
    state.capturing = 0;
    return isValid ? 0 : CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
}

static CUresult instantiateGraph(CUgraphExec *instance, CUgraph graph, uint64_t flags) {
    NEEDS_CONTEXT;
    *instance = malloc(sizeof **instance);
    (*instance)->graph = *graph;
    size_t bytes = graph->count * sizeof(Operation);
    (*instance)->graph.operations = malloc(bytes);
    memcpy((*instance)->graph.operations, graph->operations, bytes);
    state.graphs += 1;
    return flags;
}

static CUresult destroyGraphInstance(CUgraphExec instance) {
    free(instance->graph.operations);
    free(instance);
    state.graphs -= 1;
    return 0;
}

static CUresult launchGraph(CUgraphExec instance, CUstream stream) {
    NEEDS_CONTEXT;
    state.graph_launches += 1;
    for (size_t i = 0; i < instance->graph.count; i++) {
        Operation *operation = &instance->graph.operations[i];
        switch (operation->kind) {
        case LAUNCH:
            state.parameter_bytes = operation->bytes;
            memcpy(state.parameters, operation->parameters, operation->bytes);
            fake_perform_launch(operation->function);
            break;
        case COPY: memcpy(operation->target, operation->source, operation->bytes); break;
        case FILL: memset(operation->target, operation->value, operation->bytes); break;
        case OTHER: operation->perform(operation->target); break;
        }
    }
    return stream ? 0 : 1;
}

static const FakeSymbol symbols[] = {
    {"cuStreamIsCapturing", isCapturing},
    {"cuStreamBeginCapture_v2", beginCapture},
    {"cuStreamEndCapture", endCapture},
    {"cuThreadExchangeStreamCaptureMode", exchangeMode},
    {"cuGraphInstantiateWithFlags", instantiateGraph},
    {"cuGraphLaunch", launchGraph},
    {"cuGraphDestroy", destroyGraph},
    {"cuGraphExecDestroy", destroyGraphInstance},
};

void *fake_captures_symbol(const char *name) {
    return fake_find(symbols, sizeof symbols / sizeof symbols[0], name);
}
