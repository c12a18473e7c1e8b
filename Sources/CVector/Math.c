// Elementary functions as branch-free polynomials, so that the compiler vectorises them.
//
// Coefficients are minimax fits of ours (iteratively reweighted least squares on Chebyshev nodes, then
// rounded to float); the bound after each is the largest relative error that the polynomial adds to the
// function. Sums such as a * b + c may be contracted to a fused multiply-add where the machine has one;
// the error bounds in CVector.h hold either way.
#include "Clones.h"

#include <math.h>
#include <stdbool.h>

// exp(x) = 2^n exp(r), n = rint(x / ln 2), |r| <= ln(2)/2. ln 2 is taken off in two parts, the upper with
// 8 trailing zero bits so that n times it is exact. exp(r) = 1 + r + r^2 Q(r), 3.1e-9.
// 2^n is applied in two factors, so that subnormal results are rounded once and infinity is reached.
static inline float exponential(float x) {
    const float shift = 0x1.8p23f;
    float clamped = x > 89.0f ? 89.0f : x;
    clamped = clamped < -104.0f ? -104.0f : clamped;
    float shifted = clamped * 0x1.715476p0f + shift;
    int32_t n = (int32_t)(cv_bits(shifted) - 0x4b400000u);
    float whole = shifted - shift;
    float r = clamped - whole * 0x1.62e4p-1f;
    r = r - whole * 0x1.7f7d1cp-20f;
    float q = 0x1.6a2352p-10f;
    q = q * r + 0x1.123a6cp-7f;
    q = q * r + 0x1.5558f4p-5f;
    q = q * r + 0x1.555490p-3f;
    q = q * r + 0x1.fffffcp-2f;
    float p = q * (r * r) + r + 1.0f;
    uint32_t half = (uint32_t)(n >> 1), rest = (uint32_t)n - half;
    return p * cv_float((half + 127u) << 23) * cv_float((rest + 127u) << 23);
}

// As above for -87 <= x <= 0, where one factor does.
static inline float exponential_of_moderate(float x) {
    const float shift = 0x1.8p23f;
    float shifted = x * 0x1.715476p0f + shift;
    float whole = shifted - shift;
    float r = x - whole * 0x1.62e4p-1f;
    r = r - whole * 0x1.7f7d1cp-20f;
    float q = 0x1.6a2352p-10f;
    q = q * r + 0x1.123a6cp-7f;
    q = q * r + 0x1.5558f4p-5f;
    q = q * r + 0x1.555490p-3f;
    q = q * r + 0x1.fffffcp-2f;
    float p = q * (r * r) + r + 1.0f;
    return p * cv_float((cv_bits(shifted) - 0x4b400000u + 127u) << 23);
}

// log(x) = k ln 2 + log(1 + f), 1 + f = x / 2^k in [sqrt(1/2), sqrt(2)].
// log(1 + f) = f - f^2/2 + f^3 P(f), 5.9e-9. Subnormals are scaled by 2^23 first.
static inline float logarithm(float x) {
    bool small = x < 0x1p-126f;
    float scaled = small ? x * 0x1p23f : x;
    int32_t k = (int32_t)(cv_bits(scaled) - 0x3f3504f3u) >> 23;
    float f = cv_float(cv_bits(scaled) - ((uint32_t)k << 23)) - 1.0f;
    float whole = (float)(small ? k - 23 : k);
    float p = -0x1.38b582p-4f;
    p = p * f + 0x1.055b6cp-3f;
    p = p * f + -0x1.0d8542p-3f;
    p = p * f + 0x1.22da1cp-3f;
    p = p * f + -0x1.547244p-3f;
    p = p * f + 0x1.99a008p-3f;
    p = p * f + -0x1.000226p-2f;
    p = p * f + 0x1.555554p-2f;
    float square = f * f;
    float tail = whole * 0x1.7f7d1cp-20f + (f * square) * p;
    float low = tail - 0.5f * square;
    float result = whole * 0x1.62e4p-1f + (f + low);
    result = x < 0.0f ? NAN : result;
    result = x == 0.0f ? -INFINITY : result;
    return x == INFINITY || x != x ? x : result;
}

// |x| < 0.625: x + x^3 P(x^2), 1.8e-10; above: 1 - 2/(exp(2|x|) + 1), where the quotient is below 0.45, so
// that its error counts less than half. From 9.02 on the nearest float is 1.
static inline float hyperbolic_tangent(float x) {
    float a = cv_float(cv_bits(x) & 0x7fffffffu), square = x * x;
    float p = 0x1.16b058p-9f;
    p = p * square + -0x1.0b5f50p-7f;
    p = p * square + 0x1.636de4p-6f;
    p = p * square + -0x1.b9ebf4p-5f;
    p = p * square + 0x1.11105ap-3f;
    p = p * square + -0x1.555554p-2f;
    float near = a + a * (square * p);
    float limited = a > 10.0f ? 10.0f : a;
    float e = exponential_of_moderate(-2.0f * limited);
    float far = 1.0f - (e + e) / (1.0f + e);
    return cv_float(cv_bits(a < 0.625f ? near : far) | (cv_bits(x) & 0x80000000u));
}

// |x| < 0.9375: x + x Q(x^2), 6.1e-10; above: 1 - exp(-P(|x|)) with P fitted to -log(erfc), 3.5e-11 of
// erf, up to 4, from where on the nearest float is 1.
static inline float error_function(float x) {
    float a = cv_float(cv_bits(x) & 0x7fffffffu), square = x * x;
    float q = 0x1.574eeap-14f;
    q = q * square + -0x1.a88d96p-11f;
    q = q * square + 0x1.549666p-8f;
    q = q * square + -0x1.b80962p-6f;
    q = q * square + 0x1.ce2dcap-4f;
    q = q * square + -0x1.812742p-2f;
    q = q * square + 0x1.06eba8p-3f;
    float near = a + a * q;
    float t = a > 4.0f ? 4.0f : a;
    float p = 0x1.65ef2cp-16f;
    p = p * t + -0x1.ca7a40p-12f;
    p = p * t + 0x1.123d1ap-8f;
    p = p * t + -0x1.9c23f8p-6f;
    p = p * t + 0x1.bbbde6p-4f;
    p = p * t + 0x1.443f6ep-1f;
    p = p * t + 0x1.212988p0f;
    p = p * t + -0x1.7954c2p-13f;
    float far = 1.0f - exponential_of_moderate(-p);
    return cv_float(cv_bits(a < 0.9375f ? near : far) | (cv_bits(x) & 0x80000000u));
}

// With e = exp(-|x|) <= 1: 1/(1+e) for x >= 0, e/(1+e) below, so that nothing overflows and small results
// keep their relative accuracy.
static inline float sigmoid(float x) {
    float e = exponential(cv_float(cv_bits(x) | 0x80000000u));
    return (x < 0.0f ? e : 1.0f) / (1.0f + e);
}

// x = n pi/2 + r, |r| <= pi/4, in double: pi/2 has an upper part of 33 bits, exact times n up to 2^20.
// sin(r) = r + r^3 S(r^2), 5.3e-12; cos(r) = 1 - r^2/2 + r^4 C(r^2), 1.2e-13. The quadrant n mod 4 picks.
static inline float sine_of_quadrant(float x, uint32_t ahead) {
    double wide = x, shifted = wide * 0x1.45f306dc9c883p-1 + 0x1.8p52, n = shifted - 0x1.8p52;
    uint64_t word;
    memcpy(&word, &shifted, 8);
    uint32_t quadrant = (uint32_t)word + ahead;
    float r = (float)((wide - n * 0x1.921fb544p0) - n * 0x1.0b4611a626331p-34), square = r * r;
    float s = 0x1.6ccf5ep-19f;
    s = s * square + -0x1.a00f74p-13f;
    s = s * square + 0x1.111108p-7f;
    s = s * square + -0x1.555556p-3f;
    float sine = r + r * (square * s);
    sine = r == 0.0f ? r : sine; // keeps the sign of zero
    float c = -0x1.241caap-22f;
    c = c * square + 0x1.a010d6p-16f;
    c = c * square + -0x1.6c16b8p-10f;
    c = c * square + 0x1.555556p-5f;
    float cosine = 1.0f - (0.5f * square - square * square * c);
    uint32_t picked = cv_bits(quadrant & 1u ? cosine : sine);
    return cv_float(picked ^ ((quadrant & 2u) << 30));
}

#define CV_MATH_LIST(X) \
    X(exp, CV_EXP, exponential(x)) \
    X(log, CV_LOG, logarithm(x)) \
    X(tanh, CV_TANH, hyperbolic_tangent(x)) \
    X(erf, CV_ERF, error_function(x)) \
    X(sigmoid, CV_SIGMOID, sigmoid(x))

#define CV_MATH_DEFINE(name, operation, formula) \
    CV_BODY math_##name##_body(void *d, const void *a, int64_t n) { \
        const float *from = a; \
        float *to = d; \
        CV_VECTOR for (int64_t i = 0; i < n; i++) { \
            float x = from[i]; \
            to[i] = (formula); \
        } \
    } \
    CV_CLONES(math_##name, (void *d, const void *a, int64_t n), (d, a, n))
CV_MATH_LIST(CV_MATH_DEFINE)

// Where the reduction above ends the C library takes over, element by element. Blocks, because the
// destination may be the operand.
#define CV_CIRCULAR_DEFINE(name, ahead, library) \
    CV_BODY math_##name##_body(void *d, const void *a, int64_t n) { \
        enum { BLOCK = 256 }; \
        float copy[BLOCK]; \
        const float *from = a; \
        float *to = d; \
        for (int64_t start = 0; start < n; start += BLOCK) { \
            int64_t count = n - start < BLOCK ? n - start : BLOCK; \
            uint32_t large = 0; \
            CV_VECTOR for (int64_t i = 0; i < count; i++) { \
                float x = from[start + i]; \
                copy[i] = x; \
                large |= !(cv_float(cv_bits(x) & 0x7fffffffu) <= 0x1p20f); \
            } \
            CV_VECTOR for (int64_t i = 0; i < count; i++) { \
                to[start + i] = sine_of_quadrant(copy[i], ahead); \
            } \
            for (int64_t i = 0; large && i < count; i++) { \
                if (!(cv_float(cv_bits(copy[i]) & 0x7fffffffu) <= 0x1p20f)) to[start + i] = library(copy[i]); \
            } \
        } \
    } \
    CV_CLONES(math_##name, (void *d, const void *a, int64_t n), (d, a, n))
CV_CIRCULAR_DEFINE(sin, 0u, sinf)
CV_CIRCULAR_DEFINE(cos, 1u, cosf)

#define CV_MATH_ENTRY(name, operation, formula) [operation] = CV_TABLE(math_##name),
static const cv_unary table[CV_UNARY_COUNT][CV_LEVEL_COUNT] = {
    CV_MATH_LIST(CV_MATH_ENTRY)
    [CV_SIN] = CV_TABLE(math_sin),
    [CV_COS] = CV_TABLE(math_cos),
};

cv_unary cv_get_math(int operation, int level) { return table[operation][level]; }

CV_BODY exp_offset_body(float *d, const float *a, float offset, int64_t n) {
    CV_VECTOR for (int64_t i = 0; i < n; i++) d[i] = exponential(a[i] - offset);
}
CV_CLONES(exp_offset, (float *d, const float *a, float offset, int64_t n), (d, a, offset, n))

void cv_exp_offset(float *d, const float *a, float offset, int64_t n, int level) {
    static void (*const levels[CV_LEVEL_COUNT])(float *, const float *, float, int64_t) =
        CV_TABLE(exp_offset);
    levels[level](d, a, offset, n);
}
