// One loop, built once for each level of the instruction set, picked at run time.
//
// `target_clones` would do the same with less text, but hides the choice behind a resolver of the dynamic
// linker, so that a machine with AVX-512 could never test what a machine without it runs.
#ifndef CLONES_H
#define CLONES_H

#include "CVector.h"

#include <string.h>

#define CV_BODY static inline __attribute__((always_inline)) void
#define CV_HIDDEN __attribute__((visibility("hidden")))

// Vectorise the next loop. Correct because memory is either the same or disjoint (see CVector.h), so that
// no iteration reads what another one writes.
#define CV_VECTOR _Pragma("clang loop vectorize(assume_safety)")

#if defined(__x86_64__)

// Without "no-prefer-256-bit" the tuning that comes with x86-64-v4 halves the vectors.
#define CV_AVX512 __attribute__((target("arch=x86-64-v4,no-prefer-256-bit")))
#define CV_AVX2 __attribute__((target("arch=x86-64-v3")))

enum { CV_LEVEL_COUNT = 3 };

// name_0, name_1, name_2 from the always-inlined body given for the baseline, and for the levels above.
#define CV_CLONES_OF(name, baseline, body, parameters, arguments) \
    static void name##_0 parameters { baseline arguments; } \
    static CV_AVX2 void name##_1 parameters { body arguments; } \
    static CV_AVX512 void name##_2 parameters { body arguments; }
#define CV_TABLE(name) { name##_0, name##_1, name##_2 }

#else

enum { CV_LEVEL_COUNT = 1 };

#define CV_CLONES_OF(name, baseline, body, parameters, arguments) \
    static void name##_0 parameters { body arguments; }
#define CV_TABLE(name) { name##_0 }

#endif

#define CV_CLONES(name, parameters, arguments) \
    CV_CLONES_OF(name, name##_body, name##_body, parameters, arguments)

// The level to use now: the machine's, or less in a thread that asked for less.
CV_HIDDEN int cv_current_level(void);

// The part of cv_get_unary that Math.c holds; NULL for the operations that are not there.
CV_HIDDEN cv_unary cv_get_math(int operation, int level);

// d[i] = exp(a[i] - offset).
CV_HIDDEN void cv_exp_offset(float *d, const float *a, float offset, int64_t n, int level);

static inline uint32_t cv_bits(float x) {
    uint32_t u;
    memcpy(&u, &x, 4);
    return u;
}

static inline float cv_float(uint32_t u) {
    float x;
    memcpy(&x, &u, 4);
    return x;
}

#endif
