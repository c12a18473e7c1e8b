// Vector loops over packed tiles, for the CPU executor.
//
// A tile is `rows` x `columns` elements of 4 bytes, packed, rows outermost. An operand is either a tile
// of that shape or one element per row ("per row" below). A destination may be the same memory as an
// operand of the same shape; otherwise memory does not overlap. Nothing here allocates, and every
// function gives the same bits for the same input on one machine.
//
// On x86-64 each function is built for AVX-512, AVX2 and the baseline and picked at run time.
#ifndef CVECTOR_H
#define CVECTOR_H

#include <stdbool.h>
#include <stdint.h>

// The level that functions are picked for: 0 baseline, 1 AVX2, 2 AVX-512; always 0 elsewhere than x86-64.
int cv_machine_level(void);
// From now on this thread is given functions of at most this level: how tests reach every level.
void cv_limit_level(int level);

// One operand, element by element: d = f(a), n = rows * columns.
typedef void (*cv_unary)(void *d, const void *a, int64_t n);

// Which operand is one element per row.
enum { CV_TILES = 0, CV_RIGHT_PER_ROW = 1, CV_LEFT_PER_ROW = 2, CV_SHAPES = 3 };

// d = f(a, b).
typedef void (*cv_binary)(void *d, const void *a, const void *b, int64_t rows, int64_t columns);

// Three tiles, element by element: d = f(a, b, c), n = rows * columns.
typedef void (*cv_ternary)(void *d, const void *a, const void *b, const void *c, int64_t n);

// Folds one row of n elements into the running state at `state` (see each reduction).
typedef void (*cv_reduction)(void *state, const void *a, int64_t n);

// As above over two rows: state += sum(a * b).
typedef void (*cv_reduction2)(void *state, const void *a, const void *b, int64_t n);

// Memory to register: n elements from src, `stride` elements apart, widened to 4 bytes.
typedef void (*cv_load)(void *d, const void *src, int64_t stride, int64_t n);

// Register to memory: narrowed (round to nearest, ties to even; NaN stays NaN).
typedef void (*cv_store)(void *dst, int64_t stride, const void *a, int64_t n);

// float -> float, unless said otherwise. Bounds on the error are in units in the last place of the
// result, over all floats; infinities, NaN, signed zeros and subnormal inputs are treated as IEEE 754 says.
enum {
    CV_NEGATE, CV_ABS, CV_SQRT, CV_RSQRT /* 1/sqrt, correctly rounded steps */, CV_RECIPROCAL,
    CV_FLOOR,
    CV_EXP /* 2 ulp */, CV_LOG /* 2 ulp */, CV_TANH /* 3 ulp */, CV_ERF /* 3 ulp */,
    CV_SIGMOID /* 1/(1+exp(-x)), 4 ulp, never NaN for finite x, no overflow to 0/0 */,
    CV_SIN, CV_COS /* 3 ulp; beyond 2^20 the C library's, element by element */,
    CV_ROUND_BF16, CV_ROUND_F16 /* float -> nearest 16-bit value -> float */,
    CV_NOT /* bitwise not of uint32 */,
    CV_NEGATE_I32,
    CV_I32_TO_F32, CV_U32_TO_F32,
    CV_F32_TO_I32 /* toward zero, saturating, NaN to 0 */,
    CV_MASK_TO_F32, CV_MASK_TO_I32 /* a mask lane is 0 or all ones; becomes 0 or 1 */,
    CV_COPY,
    CV_UNARY_COUNT
};
cv_unary cv_get_unary(int operation);

enum {
    CV_ADD, CV_SUB, CV_MUL, CV_DIV,
    CV_MAX, CV_MIN, // NaN if either operand is NaN; the right operand when they are equal
    CV_ADD_I32, CV_SUB_I32, CV_MUL_I32, CV_MAX_I32, CV_MIN_I32, // wrapping; also serve uint32 (not max, min)
    CV_MULHI_U32, // upper half of the 64-bit product
    CV_MAX_U32, CV_MIN_U32,
    CV_AND, CV_OR, CV_XOR,
    CV_SHL, CV_SHR_U32, CV_SHR_I32, // by b & 31
    CV_EQ, CV_NE, CV_LT, CV_LE, CV_GT, CV_GE,                         // float -> mask (0 or all ones)
    CV_EQ_I32, CV_NE_I32, CV_LT_I32, CV_LE_I32, CV_GT_I32, CV_GE_I32, // int32 -> mask
    CV_LT_U32, CV_LE_U32, CV_GT_U32, CV_GE_U32,                       // uint32 -> mask
    CV_BINARY_COUNT
};
// shape is CV_TILES, CV_RIGHT_PER_ROW or CV_LEFT_PER_ROW.
cv_binary cv_get_binary(int operation, int shape);

enum {
    CV_SELECT,          // a (mask) ? b : c, any 4-byte type
    CV_MULTIPLY_ADD,    // a * b + c, one rounding
    CV_TERNARY_COUNT
};
cv_ternary cv_get_ternary(int operation);

// d[r, i] = s[r]
void cv_splat(void *d, const void *s, int64_t rows, int64_t columns);
// d[r, i] = start[r] + i, int32
void cv_iota(void *d, const void *start, int64_t rows, int64_t columns);

// State of each: 16 bytes, set by cv_reduce_begin, read as said.
typedef struct { float value; float second; int32_t index; int32_t count; } cv_state;
enum {
    CV_SUM,          // value: a pairwise-like sum with a fixed order for a given n
    CV_REDUCE_MAX, CV_REDUCE_MIN, // value; NaN if any lane is NaN
    CV_ARGMAX,       // value, index of the first largest lane (NaN counts as largest); count: lanes seen so far
    CV_MAX_SUM_EXP,  // value: max m; second: sum exp(a - m). All -inf gives m = -inf, sum = 0; rescales as it goes
    CV_SUM_I32,      // index: wrapping sum of int32 lanes
    CV_MAX_I32_STATE, CV_MIN_I32_STATE, // index
    CV_REDUCTION_COUNT
};
void cv_reduce_begin(int operation, cv_state *state);
cv_reduction cv_get_reduction(int operation);
// state->value += sum(a * b), fixed order, fused from AVX2 on.
void cv_sum_product(void *state, const void *a, const void *b, int64_t n);

// Storage types.
enum { CV_STORE_F32, CV_STORE_BF16, CV_STORE_F16, CV_STORE_32 /* int32, uint32: copied */, CV_STORE_I64, CV_STORE_U8,
    CV_STORE_E4M3, CV_STORE_E5M2 /* beyond the largest number it is stored */, CV_STORE_COUNT };
// float32 from F32, BF16, F16, E4M3, E5M2; int32 from 32, I64 (truncated), U8.
cv_load cv_get_load(int storage);
cv_store cv_get_store(int storage);
// d[i] = ((type *)src)[index[i] * stride], gathered by int32 index; the caller has checked the bounds.
void cv_gather(int storage, void *d, const void *src, const int32_t *index, int64_t stride, int64_t n);

// Copies n 4-byte elements past the cache, for arrays that no cache holds until they are read. Other threads
// see them after cv_stream_end() in this one.
void cv_stream(void *d, const void *a, int64_t n);
void cv_stream_end(void);

#endif
