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

void *fake_find(const FakeSymbol *symbols, size_t count, const char *name);
void *fake_products_symbol(const char *name);
void *fake_graphs_symbol(const char *name);

/// Has work done whenever the graph that is being captured is launched; 0 if none is.
int32_t fake_capture(void (*perform)(void *), void *argument);

/// The context that is current on this thread.
CUresult fake_current_context(CUcontext *context);

#endif
