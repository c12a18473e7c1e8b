#include "Clones.h"

#define CV_WORD uint32_t
#define CV_LANES(condition) ((condition) ? UINT32_MAX : 0u)

static inline uint32_t upper_half(uint32_t x, uint32_t y) { return (uint32_t)(((uint64_t)x * y) >> 32); }

// name, operation, type of the operands, type of the result, formula in x and y.
// Integer sums and products are unsigned, where wrapping is defined.
#define CV_BINARY_LIST(X) \
    X(add, CV_ADD, float, float, x + y) \
    X(sub, CV_SUB, float, float, x - y) \
    X(mul, CV_MUL, float, float, x * y) \
    X(div, CV_DIV, float, float, x / y) \
    X(max, CV_MAX, float, float, x > y || x != x ? x : y) \
    X(min, CV_MIN, float, float, x < y || x != x ? x : y) \
    X(add_i32, CV_ADD_I32, CV_WORD, CV_WORD, x + y) \
    X(sub_i32, CV_SUB_I32, CV_WORD, CV_WORD, x - y) \
    X(mul_i32, CV_MUL_I32, CV_WORD, CV_WORD, x * y) \
    X(max_i32, CV_MAX_I32, int32_t, int32_t, x > y ? x : y) \
    X(min_i32, CV_MIN_I32, int32_t, int32_t, x < y ? x : y) \
    X(mulhi_u32, CV_MULHI_U32, CV_WORD, CV_WORD, upper_half(x, y)) \
    X(max_u32, CV_MAX_U32, CV_WORD, CV_WORD, x > y ? x : y) \
    X(min_u32, CV_MIN_U32, CV_WORD, CV_WORD, x < y ? x : y) \
    X(and, CV_AND, CV_WORD, CV_WORD, x & y) \
    X(or, CV_OR, CV_WORD, CV_WORD, x | y) \
    X(xor, CV_XOR, CV_WORD, CV_WORD, x ^ y) \
    X(shl, CV_SHL, CV_WORD, CV_WORD, x << (y & 31u)) \
    X(shr_u32, CV_SHR_U32, CV_WORD, CV_WORD, x >> (y & 31u)) \
    X(shr_i32, CV_SHR_I32, int32_t, int32_t, x >> (y & 31)) \
    X(eq, CV_EQ, float, CV_WORD, CV_LANES(x == y)) \
    X(ne, CV_NE, float, CV_WORD, CV_LANES(x != y)) \
    X(lt, CV_LT, float, CV_WORD, CV_LANES(x < y)) \
    X(le, CV_LE, float, CV_WORD, CV_LANES(x <= y)) \
    X(gt, CV_GT, float, CV_WORD, CV_LANES(x > y)) \
    X(ge, CV_GE, float, CV_WORD, CV_LANES(x >= y)) \
    X(eq_i32, CV_EQ_I32, int32_t, CV_WORD, CV_LANES(x == y)) \
    X(ne_i32, CV_NE_I32, int32_t, CV_WORD, CV_LANES(x != y)) \
    X(lt_i32, CV_LT_I32, int32_t, CV_WORD, CV_LANES(x < y)) \
    X(le_i32, CV_LE_I32, int32_t, CV_WORD, CV_LANES(x <= y)) \
    X(gt_i32, CV_GT_I32, int32_t, CV_WORD, CV_LANES(x > y)) \
    X(ge_i32, CV_GE_I32, int32_t, CV_WORD, CV_LANES(x >= y)) \
    X(lt_u32, CV_LT_U32, CV_WORD, CV_WORD, CV_LANES(x < y)) \
    X(le_u32, CV_LE_U32, CV_WORD, CV_WORD, CV_LANES(x <= y)) \
    X(gt_u32, CV_GT_U32, CV_WORD, CV_WORD, CV_LANES(x > y)) \
    X(ge_u32, CV_GE_U32, CV_WORD, CV_WORD, CV_LANES(x >= y))

#define CV_BINARY_PARAMETERS (void *d, const void *a, const void *b, int64_t rows, int64_t columns)

// One loop over `count` elements at `to`, with x and y as given.
#define CV_BINARY_LOOP(count, takeX, takeY, formula) \
    CV_VECTOR for (int64_t i = 0; i < (count); i++) { \
        takeX; \
        takeY; \
        to[i] = (formula); \
    }

#define CV_BINARY_DEFINE(name, operation, Operand, Result, formula) \
    CV_BODY name##_tiles_body CV_BINARY_PARAMETERS { \
        const Operand *left = a, *right = b; \
        Result *to = d; \
        CV_BINARY_LOOP(rows * columns, Operand x = left[i], Operand y = right[i], formula) \
    } \
    CV_BODY name##_right_body CV_BINARY_PARAMETERS { \
        for (int64_t r = 0; r < rows; r++) { \
            const Operand *left = (const Operand *)a + r * columns, y = ((const Operand *)b)[r]; \
            Result *to = (Result *)d + r * columns; \
            CV_BINARY_LOOP(columns, Operand x = left[i], , formula) \
        } \
    } \
    CV_BODY name##_left_body CV_BINARY_PARAMETERS { \
        for (int64_t r = 0; r < rows; r++) { \
            const Operand *right = (const Operand *)b + r * columns, x = ((const Operand *)a)[r]; \
            Result *to = (Result *)d + r * columns; \
            CV_BINARY_LOOP(columns, , Operand y = right[i], formula) \
        } \
    } \
    CV_CLONES(name##_tiles, CV_BINARY_PARAMETERS, (d, a, b, rows, columns)) \
    CV_CLONES(name##_right, CV_BINARY_PARAMETERS, (d, a, b, rows, columns)) \
    CV_CLONES(name##_left, CV_BINARY_PARAMETERS, (d, a, b, rows, columns))
CV_BINARY_LIST(CV_BINARY_DEFINE)

#define CV_BINARY_ENTRY(name, operation, Operand, Result, formula) \
    [operation] = { \
        [CV_TILES] = CV_TABLE(name##_tiles), \
        [CV_RIGHT_PER_ROW] = CV_TABLE(name##_right), \
        [CV_LEFT_PER_ROW] = CV_TABLE(name##_left), \
    },
static const cv_binary table[CV_BINARY_COUNT][CV_SHAPES][CV_LEVEL_COUNT] = {
    CV_BINARY_LIST(CV_BINARY_ENTRY)
};

cv_binary cv_get_binary(int operation, int shape) { return table[operation][shape][cv_current_level()]; }
