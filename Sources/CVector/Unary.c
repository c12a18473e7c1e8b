#include "Clones.h"
#include "Half.h"

static inline float negate(float x) { return cv_float(cv_bits(x) ^ 0x80000000u); }
static inline float absolute(float x) { return cv_float(cv_bits(x) & 0x7fffffffu); }

static inline int32_t to_int32(float x) {
    float inside = x >= 0x1p31f || !(x >= -0x1p31f) ? 0.0f : x;
    return x >= 0x1p31f ? INT32_MAX : x < -0x1p31f ? INT32_MIN : (int32_t)inside;
}

// name, operation, type of the operand, type of the result, formula in x
#define CV_UNARY_LIST(X) \
    X(negate, CV_NEGATE, float, float, negate(x)) \
    X(abs, CV_ABS, float, float, absolute(x)) \
    X(sqrt, CV_SQRT, float, float, __builtin_elementwise_sqrt(x)) \
    X(rsqrt, CV_RSQRT, float, float, 1.0f / __builtin_elementwise_sqrt(x)) \
    X(reciprocal, CV_RECIPROCAL, float, float, 1.0f / x) \
    X(floor, CV_FLOOR, float, float, __builtin_elementwise_floor(x)) \
    X(round_bf16, CV_ROUND_BF16, float, float, cv_float((uint32_t)cv_to_bf16(x) << 16)) \
    X(not, CV_NOT, uint32_t, uint32_t, ~x) \
    X(negate_i32, CV_NEGATE_I32, uint32_t, uint32_t, 0u - x) \
    X(i32_to_f32, CV_I32_TO_F32, int32_t, float, (float)x) \
    X(u32_to_f32, CV_U32_TO_F32, uint32_t, float, (float)x) \
    X(f32_to_i32, CV_F32_TO_I32, float, int32_t, to_int32(x)) \
    X(mask_to_f32, CV_MASK_TO_F32, uint32_t, float, cv_float(x & 0x3f800000u)) \
    X(mask_to_i32, CV_MASK_TO_I32, uint32_t, uint32_t, x & 1u) \
    X(copy, CV_COPY, uint32_t, uint32_t, x)

#define CV_UNARY_BODY(name, Operand, Result, formula) \
    CV_BODY name(void *d, const void *a, int64_t n) { \
        const Operand *from = a; \
        Result *to = d; \
        CV_VECTOR for (int64_t i = 0; i < n; i++) { \
            Operand x = from[i]; \
            to[i] = (formula); \
        } \
    }

#define CV_UNARY_DEFINE(name, operation, Operand, Result, formula) \
    CV_UNARY_BODY(unary_##name##_body, Operand, Result, formula) \
    CV_CLONES(unary_##name, (void *d, const void *a, int64_t n), (d, a, n))
CV_UNARY_LIST(CV_UNARY_DEFINE)

CV_UNARY_BODY(unary_round_f16_plain, float, float, cv_from_f16_plain(cv_to_f16_plain(x)))
CV_UNARY_BODY(unary_round_f16_native, float, float, (float)(_Float16)x)
CV_CLONES_OF(
    unary_round_f16, unary_round_f16_plain, unary_round_f16_native, (void *d, const void *a, int64_t n),
    (d, a, n))

#define CV_UNARY_ENTRY(name, operation, Operand, Result, formula) [operation] = CV_TABLE(unary_##name),
static const cv_unary table[CV_UNARY_COUNT][CV_LEVEL_COUNT] = {
    CV_UNARY_LIST(CV_UNARY_ENTRY)
    [CV_ROUND_F16] = CV_TABLE(unary_round_f16),
};

cv_unary cv_get_unary(int operation) {
    int level = cv_current_level();
    cv_unary found = table[operation][level];
    return found ? found : cv_get_math(operation, level);
}
