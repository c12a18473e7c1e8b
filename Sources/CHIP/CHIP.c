#include "CHIP.h"

// The layouts are fixed by the libraries; a compiler that lays them out otherwise must not build.
_Static_assert(offsetof(HIPDeviceProperties, totalGlobalMem) == 288, "properties of HIP 6");
_Static_assert(offsetof(HIPDeviceProperties, warpSize) == 308, "properties of HIP 6");
_Static_assert(offsetof(HIPDeviceProperties, maxThreadsPerBlock) == 320, "properties of HIP 6");
_Static_assert(offsetof(HIPDeviceProperties, multiProcessorCount) == 388, "properties of HIP 6");
_Static_assert(offsetof(HIPDeviceProperties, l2CacheSize) == 616, "properties of HIP 6");
_Static_assert(offsetof(HIPDeviceProperties, gcnArchName) == 1160, "properties of HIP 6");
_Static_assert(offsetof(HIPDeviceProperties, room) == 1472, "properties of HIP 6");
_Static_assert(sizeof(hipblasLtMatmulHeuristicResult_t) == 56, "a suggestion of hipBLASLt");
