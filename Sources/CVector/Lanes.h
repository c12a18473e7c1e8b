// Vectors of 16 lanes for the reductions, the same on every level, so that the order of a sum is too.
#ifndef LANES_H
#define LANES_H

#include "Clones.h"

#include <math.h>

typedef float lanes __attribute__((vector_size(64)));
typedef int32_t words __attribute__((vector_size(64)));
enum { WIDTH = 16, UNROLLED = 4 * WIDTH };

// Macros and memory instead of functions of vectors: a vector argument would be passed differently on
// each level.
#define CV_READ(into, from) memcpy(&(into), (from), sizeof(into))

#define CV_SELECT_LANES(mask, yes, no) ((lanes)(((mask) & (words)(yes)) | (~(mask) & (words)(no))))

// The last `count` < 16 elements of a row that ends at `end` and is `n` long; the other lanes neutral.
// Where the row allows it a whole vector is read that ends with the row.
#define CV_READ_LAST(into, end, count, n, neutral) \
    do { \
        const lanes fill = (lanes){} + (neutral); \
        if ((n) >= WIDTH) { \
            const words place = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}; \
            words kept = place >= (words){} + (WIDTH - (int32_t)(count)); \
            CV_READ(into, (end) - WIDTH); \
            into = CV_SELECT_LANES(kept, into, fill); \
        } else { \
            float last[WIDTH]; \
            for (int lane = 0; lane < WIDTH; lane++) last[lane] = (neutral); \
            for (int64_t lane = 0; lane < (count); lane++) last[lane] = ((end) - (count))[lane]; \
            CV_READ(into, last); \
        } \
    } while (0)

#define CV_FOLD_SUM(m, x) ((m) + (x))
// For operands without NaN.
#define CV_FOLD_MAX(m, x) CV_SELECT_LANES((x) > (m), x, m)
#define CV_FOLD_MIN(m, x) CV_SELECT_LANES((x) < (m), x, m)

// Four vectors to one lane by a fixed tree.
#define CV_FOLD_TREE(fold, v, result) \
    do { \
        v[0] = fold(v[0], v[1]); \
        v[2] = fold(v[2], v[3]); \
        v[0] = fold(v[0], v[2]); \
        v[1] = __builtin_shufflevector(v[0], v[0], 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7); \
        v[0] = fold(v[0], v[1]); \
        v[1] = __builtin_shufflevector(v[0], v[0], 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3); \
        v[0] = fold(v[0], v[1]); \
        v[1] = __builtin_shufflevector(v[0], v[0], 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1); \
        v[0] = fold(v[0], v[1]); \
        v[1] = __builtin_shufflevector(v[0], v[0], 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0); \
        v[0] = fold(v[0], v[1]); \
        result = v[0][0]; \
    } while (0)

#endif
