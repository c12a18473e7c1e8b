// Reductions of one row into a running state.
//
// The order of every sum is fixed by n alone: 64 running lanes in four vectors of 16, full vectors dealt
// out in turn, the last partial one padded with the neutral element, then a tree. It is the same on every
// level, so that levels differ only where one of them fuses a product into a sum.
#include "Lanes.h"

static inline __attribute__((always_inline)) float sum_of(const float *from, int64_t n) {
    lanes running[4] = {0}, x;
    int64_t i = 0;
    for (; i + UNROLLED <= n; i += UNROLLED) {
        for (int k = 0; k < 4; k++) {
            CV_READ(x, from + i + k * WIDTH);
            running[k] += x;
        }
    }
    for (int k = 0; i + WIDTH <= n; k++, i += WIDTH) {
        CV_READ(x, from + i);
        running[k] += x;
    }
    if (i < n) {
        CV_READ_LAST(x, from + n, n - i, n, 0.0f);
        running[3] += x;
    }
    float total;
    CV_FOLD_TREE(CV_FOLD_SUM, running, total);
    return total;
}

// Whether there was a NaN is kept apart from the running lanes, as the instructions for maximum and minimum
// lose it.
#define CV_EXTREME(name, fold, neutral) \
    static inline __attribute__((always_inline)) float name(const float *from, int64_t n) { \
        lanes running[4], x[4]; \
        words unordered = {0}; \
        for (int k = 0; k < 4; k++) running[k] = (lanes){} + (neutral); \
        int64_t i = 0; \
        for (; i + UNROLLED <= n; i += UNROLLED) { \
            for (int k = 0; k < 4; k++) { \
                CV_READ(x[k], from + i + k * WIDTH); \
                running[k] = fold(running[k], x[k]); \
            } \
            unordered |= ((x[0] != x[0]) | (x[1] != x[1])) | ((x[2] != x[2]) | (x[3] != x[3])); \
        } \
        for (; i + WIDTH <= n; i += WIDTH) { \
            CV_READ(x[0], from + i); \
            running[0] = fold(running[0], x[0]); \
            unordered |= x[0] != x[0]; \
        } \
        if (i < n) { \
            CV_READ_LAST(x[0], from + n, n - i, n, neutral); \
            running[3] = fold(running[3], x[0]); \
            unordered |= x[0] != x[0]; \
        } \
        float extreme; \
        CV_FOLD_TREE(fold, running, extreme); \
        return __builtin_reduce_or(unordered) ? NAN : extreme; \
    }
CV_EXTREME(max_of, CV_FOLD_MAX, -INFINITY)
CV_EXTREME(min_of, CV_FOLD_MIN, INFINITY)

static inline float greater(float m, float x) { return x > m || x != x ? x : m; }
static inline float lesser(float m, float x) { return x < m || x != x ? x : m; }

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
    enum { BLOCK = 1024 };
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
    lanes running[4] = {0}, x, y;
    int64_t i = 0;
    for (; i + UNROLLED <= n; i += UNROLLED) {
        for (int k = 0; k < 4; k++) {
            CV_READ(x, left + i + k * WIDTH);
            CV_READ(y, right + i + k * WIDTH);
            running[k] = running[k] + x * y;
        }
    }
    for (int k = 0; i + WIDTH <= n; k++, i += WIDTH) {
        CV_READ(x, left + i);
        CV_READ(y, right + i);
        running[k] = running[k] + x * y;
    }
    if (i < n) {
        CV_READ_LAST(x, left + n, n - i, n, 0.0f);
        CV_READ_LAST(y, right + n, n - i, n, 0.0f);
        running[3] = running[3] + x * y;
    }
    float total;
    CV_FOLD_TREE(CV_FOLD_SUM, running, total);
    ((cv_state *)state)->value += total;
}
CV_CLONES(sum_product, (void *state, const void *a, const void *b, int64_t n), (state, a, b, n))

void cv_sum_product(void *state, const void *a, const void *b, int64_t n) {
    static const cv_reduction2 levels[CV_LEVEL_COUNT] = CV_TABLE(sum_product);
    levels[cv_current_level()](state, a, b, n);
}
