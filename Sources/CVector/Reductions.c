// Reductions of one row into a running state.
//
// The order of every sum is fixed by n alone: 64 running lanes in four vectors of 16, full vectors dealt
// out in turn, the last partial one padded with the neutral element, then a tree. It is the same on every
// level, so that levels differ only where one of them fuses a product into a sum.
#include "Clones.h"

#include <math.h>

typedef float lanes __attribute__((vector_size(64)));
typedef int32_t words __attribute__((vector_size(64)));
enum { WIDTH = 16, UNROLLED = 4 * WIDTH };

#define CV_INLINE static inline __attribute__((always_inline))

// Vectors travel through memory: a vector argument would have another calling convention per level.
#define CV_READ(into, from) memcpy(&(into), (from), sizeof(into))
#define CV_READ_PADDED(into, from, count, neutral) \
    do { \
        for (int lane = 0; lane < WIDTH; lane++) (into)[lane] = (neutral); \
        memcpy(&(into), (from), (size_t)(count) * 4); \
    } while (0)

// The larger or smaller of each lane; a NaN on either side stays.
#define CV_BLEND(mask, yes, no) ((lanes)(((mask) & (words)(yes)) | (~(mask) & (words)(no))))
#define CV_FOLD_SUM(m, x) ((m) + (x))
#define CV_FOLD_MAX(m, x) CV_BLEND(((x) > (m)) | ((x) != (x)), x, m)
#define CV_FOLD_MIN(m, x) CV_BLEND(((x) < (m)) | ((x) != (x)), x, m)

// Folds a row; `take` reads the next vector into x at offset i, `padded` the last `n - i` elements.
#define CV_FOLD_ROW(neutral, fold, take, padded, result) \
    lanes running[4], x; \
    for (int k = 0; k < 4; k++) running[k] = (lanes){} + (neutral); \
    int64_t i = 0; \
    for (; i + UNROLLED <= n; i += UNROLLED) { \
        for (int k = 0; k < 4; k++) { \
            take(i + k * WIDTH); \
            running[k] = fold(running[k], x); \
        } \
    } \
    for (int k = 0; i + WIDTH <= n; k++, i += WIDTH) { \
        take(i); \
        running[k] = fold(running[k], x); \
    } \
    if (i < n) { \
        padded(i); \
        running[3] = fold(running[3], x); \
    } \
    running[0] = fold(running[0], running[1]); \
    running[2] = fold(running[2], running[3]); \
    running[0] = fold(running[0], running[2]); \
    for (int half = WIDTH / 2; half > 0; half /= 2) { \
        for (int lane = 0; lane < WIDTH; lane++) x[lane] = running[0][(lane + half) % WIDTH]; \
        running[0] = fold(running[0], x); \
    } \
    float result = running[0][0]

#define CV_TAKE(i) CV_READ(x, from + (i))
#define CV_TAKE_PADDED(neutral, i) CV_READ_PADDED(x, from + (i), n - (i), neutral)

CV_INLINE float sum_of(const float *from, int64_t n) {
#define CV_PADDED_SUM(i) CV_TAKE_PADDED(0.0f, i)
    CV_FOLD_ROW(0.0f, CV_FOLD_SUM, CV_TAKE, CV_PADDED_SUM, total);
    return total;
}

CV_INLINE float max_of(const float *from, int64_t n) {
#define CV_PADDED_MAX(i) CV_TAKE_PADDED(-INFINITY, i)
    CV_FOLD_ROW(-INFINITY, CV_FOLD_MAX, CV_TAKE, CV_PADDED_MAX, largest);
    return largest;
}

CV_INLINE float min_of(const float *from, int64_t n) {
#define CV_PADDED_MIN(i) CV_TAKE_PADDED(INFINITY, i)
    CV_FOLD_ROW(INFINITY, CV_FOLD_MIN, CV_TAKE, CV_PADDED_MIN, smallest);
    return smallest;
}

CV_INLINE float greater(float m, float x) { return x > m || x != x ? x : m; }
CV_INLINE float lesser(float m, float x) { return x < m || x != x ? x : m; }

#define CV_REDUCTION_PARAMETERS (void *state, const void *a, int64_t n)

CV_BODY sum_body CV_REDUCTION_PARAMETERS { ((cv_state *)state)->value += sum_of(a, n); }
CV_CLONES(sum, CV_REDUCTION_PARAMETERS, (state, a, n))

CV_BODY max_body CV_REDUCTION_PARAMETERS {
    cv_state *s = state;
    s->value = greater(s->value, max_of(a, n));
}
CV_CLONES(max, CV_REDUCTION_PARAMETERS, (state, a, n))

CV_BODY min_body CV_REDUCTION_PARAMETERS {
    cv_state *s = state;
    s->value = lesser(s->value, min_of(a, n));
}
CV_CLONES(min, CV_REDUCTION_PARAMETERS, (state, a, n))

// The largest first, then the first place that holds it: two passes over a row that lies in L1.
CV_BODY argmax_body CV_REDUCTION_PARAMETERS {
    cv_state *s = state;
    const float *from = a;
    float largest = max_of(from, n);
    bool better = largest > s->value || (largest != largest && s->value == s->value);
    if (better) {
        int64_t place = 0;
        for (int64_t start = 0; start < n; start += UNROLLED) {
            int64_t end = n - start < UNROLLED ? n : start + UNROLLED;
            uint32_t found = 0;
            CV_VECTOR for (int64_t i = start; i < end; i++) {
                found |= (uint32_t)(from[i] == largest) | (uint32_t)(from[i] != from[i]);
            }
            if (found) {
                place = start;
                break;
            }
        }
        while (place < n && from[place] != largest && from[place] == from[place]) place++;
        s->value = largest;
        s->index = (int32_t)(s->count + place);
    }
    s->count += (int32_t)n;
}
CV_CLONES(argmax, CV_REDUCTION_PARAMETERS, (state, a, n))

#define CV_WORD_REDUCTION(name, formula) \
    CV_BODY name##_body CV_REDUCTION_PARAMETERS { \
        cv_state *s = state; \
        const int32_t *from = a; \
        int32_t m = s->index; \
        CV_VECTOR for (int64_t i = 0; i < n; i++) { \
            int32_t x = from[i]; \
            m = (formula); \
        } \
        s->index = m; \
    } \
    CV_CLONES(name, CV_REDUCTION_PARAMETERS, (state, a, n))
CV_WORD_REDUCTION(sum_i32, (int32_t)((uint32_t)m + (uint32_t)x))
CV_WORD_REDUCTION(max_i32, x > m ? x : m)
CV_WORD_REDUCTION(min_i32, x < m ? x : m)

#define CV_ROW_FOLDS(name) \
    CV_BODY name##_row_body(float *result, const float *from, int64_t n) { *result = name##_of(from, n); } \
    CV_CLONES(name##_row, (float *result, const float *from, int64_t n), (result, from, n)) \
    static void (*const name##_rows[CV_LEVEL_COUNT])(float *, const float *, int64_t) = CV_TABLE(name##_row);
CV_ROW_FOLDS(sum)
CV_ROW_FOLDS(max)

// sum exp(a - m) in blocks: the block's maximum first, the sum so far rescaled if that is a new one, then
// the block's exponentials, kept in L1 so that they are summed in the fixed order.
static void max_sum_exp(cv_state *s, const float *a, int64_t n, int level) {
    enum { BLOCK = 512 };
    float powers[BLOCK];
    for (int64_t start = 0; start < n; start += BLOCK) {
        int64_t count = n - start < BLOCK ? n - start : BLOCK;
        float largest, total, rescale = 1.0f;
        max_rows[level](&largest, a + start, count);
        largest = greater(s->value, largest);
        if (largest == -INFINITY) continue; // -inf - -inf has no value; nothing to add
        if (largest != s->value) {
            float before = s->value;
            cv_exp_offset(&rescale, &before, largest, 1, level);
        }
        cv_exp_offset(powers, a + start, largest, count, level);
        sum_rows[level](&total, powers, count);
        s->second = s->second * rescale + total;
        s->value = largest;
    }
}

#define CV_MAX_SUM_EXP_AT(level) \
    static void max_sum_exp_##level(void *state, const void *a, int64_t n) { max_sum_exp(state, a, n, level); }
CV_MAX_SUM_EXP_AT(0)
#if defined(__x86_64__)
CV_MAX_SUM_EXP_AT(1)
CV_MAX_SUM_EXP_AT(2)
#endif

cv_reduction cv_get_reduction(int operation) {
    static const cv_reduction table[CV_REDUCTION_COUNT][CV_LEVEL_COUNT] = {
        [CV_SUM] = CV_TABLE(sum),
        [CV_REDUCE_MAX] = CV_TABLE(max),
        [CV_REDUCE_MIN] = CV_TABLE(min),
        [CV_ARGMAX] = CV_TABLE(argmax),
        [CV_MAX_SUM_EXP] = CV_TABLE(max_sum_exp),
        [CV_SUM_I32] = CV_TABLE(sum_i32),
        [CV_MAX_I32_STATE] = CV_TABLE(max_i32),
        [CV_MIN_I32_STATE] = CV_TABLE(min_i32),
    };
    return table[operation][cv_current_level()];
}

void cv_reduce_begin(int operation, cv_state *state) {
    *state = (cv_state){0};
    switch (operation) {
    case CV_REDUCE_MAX:
    case CV_ARGMAX:
    case CV_MAX_SUM_EXP: state->value = -INFINITY; break;
    case CV_REDUCE_MIN: state->value = INFINITY; break;
    case CV_MAX_I32_STATE: state->index = INT32_MIN; break;
    case CV_MIN_I32_STATE: state->index = INT32_MAX; break;
    default: break;
    }
}

CV_BODY sum_product_body(void *state, const void *a, const void *b, int64_t n) {
    const float *left = a, *right = b;
    lanes y;
#define CV_FOLD_PRODUCT(m, x) ((m) + (x) * y)
#define CV_TAKE_BOTH(i) CV_READ(x, left + (i)); CV_READ(y, right + (i))
#define CV_PADDED_BOTH(i) CV_READ_PADDED(x, left + (i), n - (i), 0.0f); CV_READ_PADDED(y, right + (i), n - (i), 0.0f)
    lanes running[4], x;
    for (int k = 0; k < 4; k++) running[k] = (lanes){};
    int64_t i = 0;
    for (; i + UNROLLED <= n; i += UNROLLED) {
        for (int k = 0; k < 4; k++) {
            CV_TAKE_BOTH(i + k * WIDTH);
            running[k] = CV_FOLD_PRODUCT(running[k], x);
        }
    }
    for (int k = 0; i + WIDTH <= n; k++, i += WIDTH) {
        CV_TAKE_BOTH(i);
        running[k] = CV_FOLD_PRODUCT(running[k], x);
    }
    if (i < n) {
        CV_PADDED_BOTH(i);
        running[3] = CV_FOLD_PRODUCT(running[3], x);
    }
    running[0] = (running[0] + running[1]) + (running[2] + running[3]);
    for (int half = WIDTH / 2; half > 0; half /= 2) {
        for (int lane = 0; lane < WIDTH; lane++) x[lane] = running[0][(lane + half) % WIDTH];
        running[0] = running[0] + x;
    }
    ((cv_state *)state)->value += running[0][0];
}
CV_CLONES(sum_product, (void *state, const void *a, const void *b, int64_t n), (state, a, b, n))

void cv_sum_product(void *state, const void *a, const void *b, int64_t n) {
    static const cv_reduction2 levels[CV_LEVEL_COUNT] = CV_TABLE(sum_product);
    levels[cv_current_level()](state, a, b, n);
}
