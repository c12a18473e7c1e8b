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

#endif
