#ifndef FAKE_H
#define FAKE_H

#include "FakeCUDA.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const char *name;
    void *address;
} FakeSymbol;

extern FakeCUDAState state;

// A function is its name: what it does is looked up when it is launched.
struct CUfunc_st {
    char name[64];
};

void *fake_find(const FakeSymbol *symbols, size_t count, const char *name);
void *fake_memory_symbol(const char *name);
void *fake_products_symbol(const char *name);
void *fake_graphs_symbol(const char *name);
void *fake_captures_symbol(const char *name);

/// Has work done whenever the graph that is being captured is launched; 0 if none is.
int32_t fake_capture(void (*perform)(void *), void *argument);

/// The same for a launch with the state's parameters, and for changes of memory.
int32_t fake_capture_launch(CUfunction function);
int32_t fake_capture_copy(void *target, const void *source, size_t bytes);
int32_t fake_capture_fill(void *target, uint8_t value, size_t bytes);

/// Whether a capture is under way, which a wait makes invalid.
int32_t fake_forbids_waiting(void);

/// Whether another library's capture refuses a call that takes memory or loads code, on this thread.
int32_t fake_forbids_taking(void);

/// Does what a function does to the state's parameters.
void fake_perform_launch(CUfunction function);

/// The context that is current on this thread.
CUresult fake_current_context(CUcontext *context);

/// Whether that, or another, is the one of the fake GPU.
int32_t fake_has_context(void);
int32_t fake_is_context(CUcontext context);

#define NEEDS_CONTEXT \
    if (!fake_has_context()) return 201

#define TAKES \
    if (fake_forbids_taking()) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED

#endif
