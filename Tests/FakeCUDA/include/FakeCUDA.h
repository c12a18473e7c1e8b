// A CUDA driver, a cuBLASLt, a cuDNN and an NCCL in host memory, for tests on machines without a GPU: device memory is malloc,
// work is done when it is handed in, and calls without a current context fail as the driver's would.
#ifndef FAKE_CUDA_H
#define FAKE_CUDA_H

#include <CCUDA.h>

/// The address of a function by its exported name; NULL if there is none.
void *fake_cuda_symbol(const char *name);

/// What the fake was asked to do and what it saw. One for the process: tests take turns.
typedef struct {
    // Settings.
    int32_t driver_version;
    size_t memory_limit;
    /// What the next waits for a stream return.
    CUresult stream_result;
    int32_t capturing;
    /// Whether another library captures a graph by all threads' rules: 1, and 2 when a call has ended that.
    int32_t foreign_capture;
    /// Threads that a block of any function may have.
    int32_t threads_per_block;
    /// Memory of its own that a thread of any function takes.
    int32_t local_bytes;
    /// Ten times the major number and the minor one.
    int32_t compute_capability;
    /// What cuModuleLoadDataEx writes into the error log and returns.
    const char *compile_log;
    /// Gets the text of each module that is loaded; NULL if nobody wants it.
    void (*sees_module)(const char *text);
    /// Does what a launched function does, by its handle, name and parameters; NULL for what the fake knows by name.
    void (*performs)(const void *function, const char *name, const uint8_t *parameters, size_t bytes);
    /// What cudnnGetVersion returns, and the workspace of every plan.
    int32_t cudnn_version;
    int64_t graph_workspace;
    /// Whether no engine takes any graph; whether running one fails.
    int32_t refuses_graphs;
    int32_t fails_graphs;

    // Observations.
    size_t memory_used;
    int32_t allocations;
    int32_t frees;
    int32_t contexts_pushed;
    int32_t contexts_popped;
    int32_t modules_loaded;
    int32_t synchronizations;
    /// Waits of streams for events, and of the first 8 which stream waits, and for an event in which.
    int32_t waits;
    CUstream waiting[8];
    CUstream waited_for[8];
    int32_t shared_bytes_allowed;
    int32_t wide_clusters_allowed;
    int32_t launches;
    /// Graphs that can be launched, and launches of any of them.
    int32_t graphs;
    int32_t graph_launches;
    uint32_t grid;
    uint32_t block;
    uint32_t shared_bytes;
    uint32_t cluster;
    /// Whether the last launch may begin before what is ahead of it has ended.
    uint32_t launched_early;
    CUstream stream;
    size_t parameter_bytes;
    uint8_t parameters[1024];
    int32_t products;
    /// Those of 8-bit floats among them, and whether the last of these summed in few bits.
    int32_t float8_products;
    int32_t fast_sums;
    /// Which of the library's suggestions the last product took, its favourite being 0.
    int32_t algorithm;
    uint32_t reduction_mask;
    uint32_t alignments[4];
    size_t workspace_bytes;
    /// cuDNN's: descriptors alive, plans made, runs, where the last run worked and in which stream.
    int32_t descriptors;
    int32_t graph_plans;
    int32_t graph_runs;
    void *graph_workspace_given;
    CUstream graph_stream;
} FakeCUDAState;

FakeCUDAState *fake_cuda_state(void);

/// Back to a driver of CUDA 13.0 with 1 GiB and nothing seen yet.
void fake_cuda_reset(void);

/// Makes another library's context current on this thread, as PyTorch's would be.
void fake_cuda_enter_foreign_context(void);

/// Whether that context is still current.
int32_t fake_cuda_is_in_foreign_context(void);

void fake_cuda_leave_foreign_context(void);

/// Whether this thread is back at the rules that all begin with.
int32_t fake_cuda_heeds_captures(void);

#endif
