#include "Clones.h"

#define CV_TERNARY_PARAMETERS (void *d, const void *a, const void *b, const void *c, int64_t n)

CV_BODY select_body CV_TERNARY_PARAMETERS {
    const uint32_t *mask = a, *chosen = b, *other = c;
    uint32_t *to = d;
    CV_VECTOR for (int64_t i = 0; i < n; i++) {
        // Bits, not a branch: from a conditional the compiler makes masked loads, which crawl.
        uint32_t keep = mask[i];
        to[i] = (keep & chosen[i]) | (~keep & other[i]);
    }
}
CV_CLONES(select, CV_TERNARY_PARAMETERS, (d, a, b, c, n))

CV_BODY multiply_add_body CV_TERNARY_PARAMETERS {
    const float *x = a, *y = b, *z = c;
    float *to = d;
    CV_VECTOR for (int64_t i = 0; i < n; i++) to[i] = __builtin_elementwise_fma(x[i], y[i], z[i]);
}
CV_CLONES(multiply_add, CV_TERNARY_PARAMETERS, (d, a, b, c, n))

cv_ternary cv_get_ternary(int operation) {
    static const cv_ternary table[CV_TERNARY_COUNT][CV_LEVEL_COUNT] = {
        [CV_SELECT] = CV_TABLE(select),
        [CV_MULTIPLY_ADD] = CV_TABLE(multiply_add),
    };
    return table[operation][cv_current_level()];
}

#define CV_SPREAD_PARAMETERS (void *d, const void *s, int64_t rows, int64_t columns)
typedef void (*spread) CV_SPREAD_PARAMETERS;

CV_BODY splat_body CV_SPREAD_PARAMETERS {
    for (int64_t r = 0; r < rows; r++) {
        uint32_t value = ((const uint32_t *)s)[r], *to = (uint32_t *)d + r * columns;
        CV_VECTOR for (int64_t i = 0; i < columns; i++) to[i] = value;
    }
}
CV_CLONES(splat, CV_SPREAD_PARAMETERS, (d, s, rows, columns))

CV_BODY iota_body CV_SPREAD_PARAMETERS {
    for (int64_t r = 0; r < rows; r++) {
        uint32_t start = ((const uint32_t *)s)[r], *to = (uint32_t *)d + r * columns;
        CV_VECTOR for (int64_t i = 0; i < columns; i++) to[i] = start + (uint32_t)i;
    }
}
CV_CLONES(iota, CV_SPREAD_PARAMETERS, (d, s, rows, columns))

void cv_splat(void *d, const void *s, int64_t rows, int64_t columns) {
    static const spread levels[CV_LEVEL_COUNT] = CV_TABLE(splat);
    levels[cv_current_level()](d, s, rows, columns);
}

void cv_iota(void *d, const void *start, int64_t rows, int64_t columns) {
    static const spread levels[CV_LEVEL_COUNT] = CV_TABLE(iota);
    levels[cv_current_level()](d, start, rows, columns);
}
