// NCCL's calls between processes of one machine, through shared memory: what ranks on the processor use, and what the
// fake driver of the tests offers as NCCL.
//
// The memory holds a ring of bytes for each ordered pair of ranks, written by one and read by the other. It is named by
// the unique id, and its name goes once all ranks have it, so that nothing is left behind when they end.
// For clock_gettime and its like.
#define _POSIX_C_SOURCE 200809L

#include "CNCCL.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { RING_BYTES = 1 << 18, LINE = 64 };

/// Bytes that one rank has written for another, and how many of them that one has read.
typedef struct {
    _Alignas(LINE) _Atomic uint64_t written;
    _Alignas(LINE) _Atomic uint64_t read;
    _Alignas(LINE) char bytes[RING_BYTES];
} Ring;

typedef struct {
    _Alignas(LINE) _Atomic int32_t attached;
    _Alignas(LINE) Ring rings[];
} Shared;

struct ncclComm {
    int32_t rank;
    int32_t ranks;
    _Atomic int32_t aborted;
    char name[64];
    size_t bytes;
    Shared *shared;
};

/// A transfer of an open group.
typedef struct {
    ncclComm_t comm;
    char *bytes;
    size_t count;
    size_t done;
    int32_t peer;
    int32_t sends;
} Transfer;

static _Thread_local struct {
    int32_t depth;
    Transfer *transfers;
    size_t count;
    size_t capacity;
} group;

static ncclResult_t getVersion(int32_t *version) {
    *version = 22703;
    return ncclSuccess;
}

static const char *errorString(ncclResult_t result) {
    switch (result) {
    case ncclSuccess: return "no error";
    case ncclSystemError: return "the system refused";
    case ncclInvalidArgument: return "an argument is not valid";
    case ncclInvalidUsage: return "a call is out of place";
    case ncclRemoteError: return "another rank has ended";
    default: return "unknown error";
    }
}

static const char *lastError(ncclComm_t comm) {
    (void)comm;
    return "";
}

static ncclResult_t getUniqueId(ncclUniqueId *id) {
    static _Atomic int32_t counter;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    memset(id, 0, sizeof *id);
    // Macs allow 31 characters.
    snprintf(
        id->internal, sizeof id->internal, "/liger-%d-%d-%08lx", (int)getpid(), atomic_fetch_add(&counter, 1),
        (unsigned long)now.tv_nsec);
    return ncclSuccess;
}

/// Lets others run; after a while it sleeps, as ranks may be more than cores.
static void pauseAfter(int32_t attempts) {
    if (attempts < 100) {
        sched_yield();
        return;
    }
    struct timespec time = {0, attempts < 2000 ? 20000 : 500000};
    nanosleep(&time, NULL);
}

static ncclResult_t commAbort(ncclComm_t comm) {
    // Another thread may be in it: its memory stays until the process ends.
    atomic_store(&comm->aborted, 1);
    return ncclSuccess;
}

static ncclResult_t commDestroy(ncclComm_t comm) {
    if (atomic_load(&comm->aborted)) return ncclInvalidArgument;
    munmap(comm->shared, comm->bytes);
    free(comm);
    return ncclSuccess;
}

static ncclResult_t attach(ncclComm_t comm) {
    int file = shm_open(comm->name, O_RDWR | O_CREAT, 0600);
    if (file < 0) return ncclSystemError;
    void *memory = MAP_FAILED;
    if (ftruncate(file, (off_t)comm->bytes) == 0)
        memory = mmap(NULL, comm->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (memory == MAP_FAILED) return ncclSystemError;
    comm->shared = memory;
    if (atomic_fetch_add(&comm->shared->attached, 1) + 1 == comm->ranks) shm_unlink(comm->name);
    return ncclSuccess;
}

static ncclResult_t commInitRank(ncclComm_t *result, int32_t ranks, ncclUniqueId id, int32_t rank) {
    if (ranks < 1 || rank < 0 || rank >= ranks) return ncclInvalidArgument;
    ncclComm_t comm = calloc(1, sizeof *comm);
    if (!comm) return ncclSystemError;
    comm->rank = rank;
    comm->ranks = ranks;
    comm->bytes = sizeof(Shared) + (size_t)ranks * (size_t)ranks * sizeof(Ring);
    snprintf(comm->name, sizeof comm->name, "%.60s", id.internal);
    ncclResult_t code = attach(comm);
    if (code != ncclSuccess) {
        free(comm);
        return code;
    }
    *result = comm;
    for (int32_t attempts = 0; atomic_load(&comm->shared->attached) < ranks; attempts++) {
        // A rank that ended before this call is told of by the watchdog, which ends the process.
        pauseAfter(attempts);
    }
    return ncclSuccess;
}

static ncclResult_t asyncError(ncclComm_t comm, ncclResult_t *error) {
    *error = atomic_load(&comm->aborted) ? ncclRemoteError : ncclSuccess;
    return ncclSuccess;
}

static ncclResult_t groupStart(void) {
    group.depth += 1;
    return ncclSuccess;
}

/// Moves what the ring takes or holds now; the number of bytes.
static size_t move(Transfer *transfer) {
    ncclComm_t comm = transfer->comm;
    int32_t from = transfer->sends ? comm->rank : transfer->peer, to = transfer->sends ? transfer->peer : comm->rank;
    Ring *ring = &comm->shared->rings[from * comm->ranks + to];
    uint64_t written = atomic_load_explicit(&ring->written, memory_order_acquire);
    uint64_t read = atomic_load_explicit(&ring->read, memory_order_acquire);
    uint64_t place = (transfer->sends ? written : read) % RING_BYTES;
    size_t room = transfer->sends ? RING_BYTES - (written - read) : written - read;
    size_t bytes = transfer->count - transfer->done;
    if (bytes > room) bytes = room;
    if (bytes > RING_BYTES - place) bytes = RING_BYTES - place;
    if (bytes == 0) return 0;
    char *own = transfer->bytes + transfer->done;
    if (transfer->sends) {
        memcpy(ring->bytes + place, own, bytes);
        atomic_store_explicit(&ring->written, written + bytes, memory_order_release);
    } else {
        memcpy(own, ring->bytes + place, bytes);
        atomic_store_explicit(&ring->read, read + bytes, memory_order_release);
    }
    transfer->done += bytes;
    return bytes;
}

/// Whether an earlier transfer of the group uses the same ring and is not done: rings keep the order of calls.
static int32_t waits(size_t index, size_t first) {
    Transfer *own = &group.transfers[index];
    for (size_t i = first; i < index; i++) {
        Transfer *other = &group.transfers[i];
        if (other->done < other->count && other->comm == own->comm && other->peer == own->peer
            && other->sends == own->sends)
            return 1;
    }
    return 0;
}

static ncclResult_t perform(void) {
    size_t first = 0;
    int32_t attempts = 0;
    while (1) {
        while (first < group.count && group.transfers[first].done == group.transfers[first].count) first += 1;
        if (first == group.count) return ncclSuccess;
        size_t moved = 0;
        for (size_t i = first; i < group.count; i++) {
            Transfer *transfer = &group.transfers[i];
            if (atomic_load(&transfer->comm->aborted)) return ncclRemoteError;
            if (transfer->done < transfer->count && !waits(i, first)) moved += move(transfer);
        }
        if (moved > 0) attempts = 0;
        else pauseAfter(attempts++);
    }
}

static ncclResult_t groupEnd(void) {
    if (group.depth == 0) return ncclInvalidUsage;
    group.depth -= 1;
    if (group.depth > 0) return ncclSuccess;
    ncclResult_t code = perform();
    group.count = 0;
    return code;
}

static ncclResult_t add(char *bytes, size_t count, ncclDataType_t type, int32_t peer, ncclComm_t comm, int32_t sends) {
    if (type != ncclUint8 || peer < 0 || peer >= comm->ranks || peer == comm->rank) return ncclInvalidArgument;
    if (group.count == group.capacity) {
        size_t capacity = group.capacity ? 2 * group.capacity : 64;
        Transfer *larger = realloc(group.transfers, capacity * sizeof *larger);
        if (!larger) return ncclSystemError;
        group.transfers = larger;
        group.capacity = capacity;
    }
    group.depth += 1;
    group.transfers[group.count++] =
        (Transfer){.comm = comm, .bytes = bytes, .count = count, .peer = peer, .sends = sends};
    return groupEnd();
}

static ncclResult_t sendBytes(
    const void *source, size_t count, ncclDataType_t type, int32_t peer, ncclComm_t comm, ncclStream_t stream) {
    (void)stream;
    return add((char *)(uintptr_t)source, count, type, peer, comm, 1);
}

static ncclResult_t receiveBytes(
    void *target, size_t count, ncclDataType_t type, int32_t peer, ncclComm_t comm, ncclStream_t stream) {
    (void)stream;
    return add(target, count, type, peer, comm, 0);
}

void *host_nccl_symbol(const char *name) {
    static const struct {
        const char *name;
        void *address;
    } symbols[] = {
        {"ncclGetVersion", getVersion},
        {"ncclGetErrorString", errorString},
        {"ncclGetLastError", lastError},
        {"ncclGetUniqueId", getUniqueId},
        {"ncclCommInitRank", commInitRank},
        {"ncclCommDestroy", commDestroy},
        {"ncclCommAbort", commAbort},
        {"ncclCommGetAsyncError", asyncError},
        {"ncclGroupStart", groupStart},
        {"ncclGroupEnd", groupEnd},
        {"ncclSend", sendBytes},
        {"ncclRecv", receiveBytes},
    };
    for (size_t i = 0; i < sizeof symbols / sizeof symbols[0]; i++)
        if (strcmp(symbols[i].name, name) == 0) return symbols[i].address;
    return NULL;
}
