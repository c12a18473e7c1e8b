// The 16-bit formats, in integer arithmetic.
#ifndef HALF_H
#define HALF_H

#include "Clones.h"

// Nearest, ties to even: half a unit less one is added, and one more when the kept part is odd. A NaN
// keeps its upper bits and is made quiet, as its payload might lie in the lost bits only.
static inline uint16_t cv_to_bf16(float x) {
    uint32_t u = cv_bits(x);
    uint32_t rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
    return (uint16_t)((u & 0x7fffffffu) > 0x7f800000u ? (u >> 16) | 0x40u : rounded);
}

static inline float cv_from_bf16(uint16_t h) { return cv_float((uint32_t)h << 16); }

// For machines without conversions to 16-bit floats. Results that are subnormal in 16 bits are rounded by
// adding 0.5, whose unit in the last place is the smallest 16-bit subnormal.
static inline uint16_t cv_to_f16_plain(float x) {
    uint32_t u = cv_bits(x), magnitude = u & 0x7fffffffu;
    uint32_t normal = (magnitude + 0xfffu + ((magnitude >> 13) & 1u) - 0x38000000u) >> 13;
    uint32_t subnormal = cv_bits(cv_float(magnitude) + 0.5f) - 0x3f000000u;
    uint32_t nan = 0x7e00u | ((magnitude >> 13) & 0x3ffu);
    uint32_t h = magnitude < 0x38800000u ? subnormal : normal;
    h = magnitude >= 0x477ff000u ? 0x7c00u : h;
    h = magnitude > 0x7f800000u ? nan : h;
    return (uint16_t)(h | ((u >> 16) & 0x8000u));
}

static inline float cv_from_f16_plain(uint16_t h) {
    uint32_t magnitude = h & 0x7fffu, sign = (uint32_t)(h & 0x8000u) << 16, shifted = magnitude << 13;
    uint32_t subnormal = cv_bits(cv_float(shifted + 0x38800000u) - 0x1p-14f);
    uint32_t u = magnitude < 0x400u ? subnormal : shifted + 0x38000000u;
    u = magnitude >= 0x7c00u ? shifted + 0x70000000u : u;
    u = magnitude > 0x7c00u ? u | 0x400000u : u;
    return cv_float(u | sign);
}

#endif
