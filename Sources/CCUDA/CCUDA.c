#include "CCUDA.h"

// The layouts are fixed by the driver and by cuBLASLt; a compiler that lays them out otherwise must not build.
_Static_assert(sizeof(CUlaunchAttribute) == 72, "a launch attribute is 8 bytes and 64 of value");
_Static_assert(sizeof(CUlaunchConfig) == 56, "a launch configuration on a 64-bit machine");
_Static_assert(sizeof(cublasLtMatmulAlgo_t) == 64, "an algorithm of cuBLASLt");
_Static_assert(sizeof(cublasLtMatmulHeuristicResult_t) == 96, "a suggestion of cuBLASLt");
