#ifndef FAKE_HIP_PARTS_H
#define FAKE_HIP_PARTS_H

#include "FakeHIP.h"

extern FakeHIPState hip;

void *fake_comgr_symbol(const char *name);
void *fake_hipblaslt_symbol(const char *name);

#endif
