// The few types and numbers of NCCL that LigerCollectives uses, in our own words. The library is found with dlopen at
// run time, so nothing of it is needed to build. The same calls over memory of the host are `host_nccl_symbol`'s.
#ifndef CNCCL_H
#define CNCCL_H

#include <stddef.h>
#include <stdint.h>

typedef struct ncclComm *ncclComm_t;

/// What every function returns.
typedef int32_t ncclResult_t;

#define ncclSuccess 0
#define ncclUnhandledCudaError 1
#define ncclSystemError 2
#define ncclInternalError 3
#define ncclInvalidArgument 4
#define ncclInvalidUsage 5
#define ncclRemoteError 6
#define ncclInProgress 7

/// Made by one rank, known to all: what they find each other by.
typedef struct {
    char internal[128];
} ncclUniqueId;

typedef int32_t ncclDataType_t;

#define ncclUint8 1

/// A stream of the driver.
typedef void *ncclStream_t;

// 10000 major + 100 minor + patch
typedef ncclResult_t (*NCCLGetVersion)(int32_t *version); // ncclGetVersion
typedef const char *(*NCCLGetErrorString)(ncclResult_t result); // ncclGetErrorString
typedef const char *(*NCCLGetLastError)(ncclComm_t comm); // ncclGetLastError
typedef ncclResult_t (*NCCLGetUniqueId)(ncclUniqueId *id); // ncclGetUniqueId
// Waits until all ranks have called it.
typedef ncclResult_t (*NCCLCommInitRank)(ncclComm_t *comm, int32_t ranks, ncclUniqueId id, int32_t rank); // ncclCommInitRank
typedef ncclResult_t (*NCCLCommCall)(ncclComm_t comm); // ncclCommDestroy, ncclCommAbort
typedef ncclResult_t (*NCCLCommGetAsyncError)(ncclComm_t comm, ncclResult_t *error); // ncclCommGetAsyncError
// What is sent and received between the two is begun at the end, in any order.
typedef ncclResult_t (*NCCLGroupCall)(void); // ncclGroupStart, ncclGroupEnd
typedef ncclResult_t (*NCCLSend)(
    const void *source, size_t count, ncclDataType_t type, int32_t peer, ncclComm_t comm, ncclStream_t stream); // ncclSend
typedef ncclResult_t (*NCCLReceive)(
    void *target, size_t count, ncclDataType_t type, int32_t peer, ncclComm_t comm, ncclStream_t stream); // ncclRecv

/// NCCL's functions, by their exported names, for memory of the host: processes of one machine exchange bytes through
/// memory that they share. Work is done when the group ends, whatever the stream. NULL for names that are not above.
void *host_nccl_symbol(const char *name);

#endif
