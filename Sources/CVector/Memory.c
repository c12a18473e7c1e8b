// Storage types of memory to and from the 4-byte lanes of a tile.
#include "Eighth.h"
#include "Half.h"

#define CV_LOAD_PARAMETERS (void *d, const void *src, int64_t stride, int64_t n)
#define CV_STORE_PARAMETERS (void *dst, int64_t stride, const void *a, int64_t n)
#define CV_GATHER_PARAMETERS (void *d, const void *src, const int32_t *index, int64_t stride, int64_t n)
typedef void (*gather) CV_GATHER_PARAMETERS;

// Unit stride is what vector instructions read and write. With another stride a block is packed or spread
// by a scalar loop, so that at least the conversion is a vector loop.
enum { BLOCK = 256 };

#define CV_LOAD_BODY(name, Memory, Lane, widened) \
    CV_BODY name CV_LOAD_PARAMETERS { \
        const Memory *from = src; \
        Lane *to = d; \
        if (stride == 1) { \
            CV_VECTOR for (int64_t i = 0; i < n; i++) { \
                Memory x = from[i]; \
                to[i] = (widened); \
            } \
        } else { \
            Memory packed[BLOCK]; \
            for (int64_t start = 0; start < n; start += BLOCK) { \
                int64_t count = n - start < BLOCK ? n - start : BLOCK; \
                for (int64_t i = 0; i < count; i++) packed[i] = from[(start + i) * stride]; \
                CV_VECTOR for (int64_t i = 0; i < count; i++) { \
                    Memory x = packed[i]; \
                    to[start + i] = (widened); \
                } \
            } \
        } \
    }

#define CV_STORE_BODY(name, Memory, Lane, narrowed) \
    CV_BODY name CV_STORE_PARAMETERS { \
        const Lane *from = a; \
        Memory *to = dst; \
        if (stride == 1) { \
            CV_VECTOR for (int64_t i = 0; i < n; i++) { \
                Lane x = from[i]; \
                to[i] = (Memory)(narrowed); \
            } \
        } else { \
            Memory packed[BLOCK]; \
            for (int64_t start = 0; start < n; start += BLOCK) { \
                int64_t count = n - start < BLOCK ? n - start : BLOCK; \
                CV_VECTOR for (int64_t i = 0; i < count; i++) { \
                    Lane x = from[start + i]; \
                    packed[i] = (Memory)(narrowed); \
                } \
                for (int64_t i = 0; i < count; i++) to[(start + i) * stride] = packed[i]; \
            } \
        } \
    }

#define CV_GATHER_BODY(name, Memory, Lane, widened) \
    CV_BODY name CV_GATHER_PARAMETERS { \
        const Memory *from = src; \
        Lane *to = d; \
        CV_VECTOR for (int64_t i = 0; i < n; i++) { \
            Memory x = from[index[i] * stride]; \
            to[i] = (widened); \
        } \
    }

#define CV_STORAGE_BODIES(load, store, gather, Memory, Lane, widened, narrowed) \
    CV_LOAD_BODY(load, Memory, Lane, widened) \
    CV_STORE_BODY(store, Memory, Lane, narrowed) \
    CV_GATHER_BODY(gather, Memory, Lane, widened)

// name, storage, type in memory, type of the lane, to the lane and to memory from x
#define CV_STORAGE_LIST(X) \
    X(word, CV_STORE_32, uint32_t, uint32_t, x, x) \
    X(bf16, CV_STORE_BF16, uint16_t, float, cv_from_bf16(x), cv_to_bf16(x)) \
    X(i64, CV_STORE_I64, int64_t, int32_t, (int32_t)x, x) \
    X(u8, CV_STORE_U8, uint8_t, int32_t, x, x) \
    X(e4m3, CV_STORE_E4M3, uint8_t, float, cv_from_e4m3(x), cv_to_e4m3(x)) \
    X(e5m2, CV_STORE_E5M2, uint8_t, float, cv_from_e5m2(x), cv_to_e5m2(x))

#define CV_STORAGE_CLONES(name, suffix, baseline) \
    CV_CLONES_OF(load_##name, load_##name##baseline, load_##name##suffix, CV_LOAD_PARAMETERS, \
        (d, src, stride, n)) \
    CV_CLONES_OF(store_##name, store_##name##baseline, store_##name##suffix, CV_STORE_PARAMETERS, \
        (dst, stride, a, n)) \
    CV_CLONES_OF(gather_##name, gather_##name##baseline, gather_##name##suffix, CV_GATHER_PARAMETERS, \
        (d, src, index, stride, n))

#define CV_STORAGE_DEFINE(name, storage, Memory, Lane, widened, narrowed) \
    CV_STORAGE_BODIES(load_##name##_body, store_##name##_body, gather_##name##_body, Memory, Lane, widened, \
        narrowed) \
    CV_STORAGE_CLONES(name, _body, _body)
CV_STORAGE_LIST(CV_STORAGE_DEFINE)

CV_STORAGE_BODIES(load_f16_plain, store_f16_plain, gather_f16_plain, uint16_t, float, cv_from_f16_plain(x),
    cv_to_f16_plain(x))
CV_STORAGE_BODIES(load_f16_native, store_f16_native, gather_f16_native, _Float16, float, (float)x, x)
CV_STORAGE_CLONES(f16, _native, _plain)

#define CV_STORAGE_TABLE(kind) { \
    [CV_STORE_F32] = CV_TABLE(kind##_word), \
    [CV_STORE_BF16] = CV_TABLE(kind##_bf16), \
    [CV_STORE_F16] = CV_TABLE(kind##_f16), \
    [CV_STORE_32] = CV_TABLE(kind##_word), \
    [CV_STORE_I64] = CV_TABLE(kind##_i64), \
    [CV_STORE_U8] = CV_TABLE(kind##_u8), \
    [CV_STORE_E4M3] = CV_TABLE(kind##_e4m3), \
    [CV_STORE_E5M2] = CV_TABLE(kind##_e5m2), \
}

cv_load cv_get_load(int storage) {
    static const cv_load table[CV_STORE_COUNT][CV_LEVEL_COUNT] = CV_STORAGE_TABLE(load);
    return table[storage][cv_current_level()];
}

cv_store cv_get_store(int storage) {
    static const cv_store table[CV_STORE_COUNT][CV_LEVEL_COUNT] = CV_STORAGE_TABLE(store);
    return table[storage][cv_current_level()];
}

void cv_gather(int storage, void *d, const void *src, const int32_t *index, int64_t stride, int64_t n) {
    static const gather table[CV_STORE_COUNT][CV_LEVEL_COUNT] = CV_STORAGE_TABLE(gather);
    table[storage][cv_current_level()](d, src, index, stride, n);
}
