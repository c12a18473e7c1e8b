// AMD's HIP runtime, comgr and hipBLASLt in host memory, for tests on machines without a GPU: what HIP shares with NVIDIA's
// driver is the fake CUDA driver's, under HIP's names.
#ifndef FAKE_HIP_H
#define FAKE_HIP_H

#include <CHIP.h>
#include <FakeCUDA.h>

/// The address of a function by its exported name; NULL if there is none.
void *fake_hip_symbol(const char *name);

/// What is HIP's alone of what the fake was asked to do; all else is in `fake_cuda_state`.
typedef struct {
    // Settings.
    int32_t runtime_version;
    int32_t devices;
    const char *architecture;
    int32_t wave_threads;
    /// Of comgr: 2 or 3, which number actions differently.
    size_t comgr_major;
    /// What comgr says and fails with; NULL if it succeeds.
    const char *compile_log;

    // Observations.
    int32_t device;
    int32_t devices_set;
    int32_t compilations;
} FakeHIPState;

FakeHIPState *fake_hip_state(void);

/// Back to HIP 6.4 with one gfx942 and a comgr 2, and the fake CUDA driver back as well.
void fake_hip_reset(void);

#endif
