// Memory too large to stay in cache is written past it: the processor then need not read it first.
#include "Clones.h"

enum { LINE = 64 };

#if defined(__x86_64__)

typedef float vector __attribute__((vector_size(64)));

// Whole lines go past the cache; what comes before the first and after the last goes the usual way.
CV_BODY stream_body(void *d, const void *a, int64_t n) {
    float *to = d;
    const float *from = a;
    int64_t i = 0;
    while (i < n && ((uintptr_t)(to + i) & (LINE - 1)) != 0) to[i] = from[i], i++;
    for (; i + 16 <= n; i += 16) {
        vector v;
        memcpy(&v, from + i, sizeof v);
        __builtin_nontemporal_store(v, (vector *)(to + i));
    }
    for (; i < n; i++) to[i] = from[i];
}

CV_CLONES_OF(stream, stream_body, stream_body, (void *d, const void *a, int64_t n), (d, a, n))

void cv_stream(void *d, const void *a, int64_t n) {
    static void (*const table[CV_LEVEL_COUNT])(void *, const void *, int64_t) = CV_TABLE(stream);
    table[cv_current_level()](d, a, n);
}

void cv_stream_end(void) { __builtin_ia32_sfence(); }

#else

void cv_stream(void *d, const void *a, int64_t n) { memcpy(d, a, (size_t)n * 4); }
void cv_stream_end(void) {}

#endif
