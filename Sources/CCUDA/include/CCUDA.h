// The few types and numbers of the CUDA driver, of cuBLASLt and of cuDNN that LigerCUDA uses. The libraries are
// found with dlopen at run time, so nothing of them is needed to build. Names and values are those of the public
// interfaces.
#ifndef CCUDA_H
#define CCUDA_H

#include "CUBLASLt.h"
#include "CUDADriver.h"
#include "CUDNNGraphs.h"

#endif
