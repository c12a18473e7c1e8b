// The 8-bit floats e4m3 and e5m2, in integer arithmetic.
#ifndef EIGHTH_H
#define EIGHTH_H

#include "Clones.h"

// Nearest, ties to even, at bit `cut` of a float whose exponent is `shift` too large. Results that are subnormal in
// 8 bits are rounded by adding a power of two whose unit in the last place is the smallest 8-bit subnormal. What is
// above the largest number becomes it.
static inline uint8_t cv_to_eighth(float x, int cut, uint32_t shift, uint32_t smallest, uint32_t adds,
    uint32_t largest, uint32_t most) {
    uint32_t u = cv_bits(x), magnitude = u & 0x7fffffffu;
    uint32_t normal = (magnitude + (1u << (cut - 1)) - 1u + ((magnitude >> cut) & 1u) - shift) >> cut;
    uint32_t subnormal = cv_bits(cv_float(magnitude) + cv_float(adds)) - adds;
    uint32_t e = magnitude < smallest ? subnormal : normal;
    e = magnitude > largest ? most : e;
    e = magnitude > 0x7f800000u ? 0x7fu : e;
    return (uint8_t)(e | ((u >> 24) & 0x80u));
}

// Up to 448; subnormal below 2^-6, in steps of 2^-9.
static inline uint8_t cv_to_e4m3(float x) {
    return cv_to_eighth(x, 20, 120u << 23, 0x3c800000u, 0x46800000u, 0x43e00000u, 0x7eu);
}

// Up to 57,344; subnormal below 2^-14, in steps of 2^-16.
static inline uint8_t cv_to_e5m2(float x) {
    return cv_to_eighth(x, 21, 112u << 23, 0x38800000u, 0x43000000u, 0x47600000u, 0x7bu);
}

static inline float cv_from_e4m3(uint8_t e) {
    uint32_t magnitude = e & 0x7fu, sign = (uint32_t)(e & 0x80u) << 24, shifted = magnitude << 20;
    uint32_t subnormal = cv_bits(cv_float(shifted + 0x3c800000u) - 0x1p-6f);
    uint32_t u = magnitude < 8u ? subnormal : shifted + (120u << 23);
    return cv_float((magnitude == 0x7fu ? 0x7fc00000u : u) | sign);
}

static inline float cv_from_e5m2(uint8_t e) {
    uint32_t magnitude = e & 0x7fu, sign = (uint32_t)(e & 0x80u) << 24, shifted = magnitude << 21;
    uint32_t subnormal = cv_bits(cv_float(shifted + 0x38800000u) - 0x1p-14f);
    uint32_t u = magnitude < 4u ? subnormal : shifted + (112u << 23);
    u = magnitude == 0x7cu ? 0x7f800000u : u;
    return cv_float((magnitude > 0x7cu ? 0x7fc00000u : u) | sign);
}

#endif
