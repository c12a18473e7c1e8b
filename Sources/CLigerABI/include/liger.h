// The C interface of swift-liger: fused kernels for training language models, on the processor and on NVIDIA
// GPUs, over the caller's memory and in the caller's stream.
//
// An operation is prepared once for its shapes, types and options, and run as often as one likes:
//
//     liger_array x = {.name = "x", .dtype = LIGER_BF16, .rank = 2, .shape = {8192, 4096},
//                      .strides = {4096, 1}, .alignment = 16};
//     liger_call *call;
//     if (liger_prepare("softmax_forward", 0, &x, 1, NULL, 0, &call) != LIGER_OK)
//         puts(liger_last_message());
//     uint64_t addresses[] = {x_address, y_address};    // arguments, outputs, workspace if there is one
//     liger_run(call, stream, addresses, 2);
//     liger_release(call);
//
// Every function may be called on any thread. A function that returns a status leaves what it was to fill in
// untouched unless the status is LIGER_OK, and then leaves the last message as it was.
#ifndef LIGER_H
#define LIGER_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// The device number of the first AMD GPU; further ones follow it.
#define LIGER_AMD 65536

/// How a call ended.
typedef int32_t liger_status;

#define LIGER_OK 0
/// Shapes, types, option values or addresses that do not fit.
#define LIGER_INVALID_ARGUMENT 1
/// An operation, an input or an option of that name does not exist.
#define LIGER_UNKNOWN_NAME 2
/// There is no such device, or its driver cannot be used.
#define LIGER_NO_DEVICE 3
#define LIGER_OUT_OF_MEMORY 4
/// A program refused the values it met, such as a label that is no class. On a GPU a later run of the
/// operation, or liger_synchronize, says so; at once with LIGER_STRICT=1 in the environment.
#define LIGER_CHECK_FAILED 5
/// A library of matrix products is missing.
#define LIGER_NO_LIBRARY 6
/// The device's driver refused a call, or earlier work on the device failed.
#define LIGER_DEVICE_FAILED 7
/// An address is less aligned than was said when the call was prepared: prepare another with what it has.
#define LIGER_MISALIGNED 8
/// A mistake of this library: please report it.
#define LIGER_INTERNAL 9

/// How elements lie in memory.
#define LIGER_F32 0
#define LIGER_BF16 1
#define LIGER_F16 2
#define LIGER_I32 3
#define LIGER_I64 4
#define LIGER_U32 5
#define LIGER_U8 6

#define LIGER_MAX_RANK 8

/// What an array looks like; where it lies is said when a call is run.
typedef struct {
    /// Which of the operation's arrays it is. Owned by whoever made the struct.
    const char *name;
    int32_t dtype;
    int32_t rank;
    int64_t shape[LIGER_MAX_RANK];
    /// Elements from one position to the next.
    int64_t strides[LIGER_MAX_RANK];
    /// Bytes that the address will be a multiple of; from 16 on kernels are at their fastest.
    int64_t alignment;
} liger_array;

/// A setting of an operation: a text where `text` is not NULL, else a number; flags are 0 or 1.
typedef struct {
    const char *name;
    double number;
    const char *text;
} liger_option;

/// An operation prepared for arrays of known shapes. Owned by the caller of liger_prepare.
typedef struct liger_call liger_call;

/// The library's version, such as "0.8.5". Owned by the library.
const char *liger_version(void);

/// What was wrong in the last call on this thread that failed: what was found, and what to do. Owned by the
/// library, until the next call on this thread that fails.
const char *liger_last_message(void);

/// What goes into every operation and comes out of it, in JSON, so that other languages need not say it again: a list
/// of objects with `name` and lists of `inputs`, `options` and `outputs`, each in the order in which they are declared.
/// Owned by the library.
///
/// An input has `name` and, where they are true, `optional` and `written` (the operation writes over it).
///
/// An option has `name` and `type`: "number", "whole", "flag" (0 or 1), "word" (one of `words`) or "wholes" (a text of
/// whole numbers and commas). It may be left out unless `required`, and is then `default`, null for nothing.
///
/// An output has `name`, `shape`, `dtype` and `when`. `when` lists conditions: it is there where all of them hold. A
/// condition is {"given": input}, {"given": input, "dtype": type}, {"absent": input}, {"on": option} (not 0),
/// {"on": option, "bits": b} (all bits of b are set), {"on": option, "word": w} or {"any": conditions}. `dtype` is a type ("f32", "bf16", "f16", "i32", "i64", "u32",
/// "u8"), or a list of inputs, of which the first that is given has it. `shape` lists parts, one after the other:
/// {"size": n}, {"option": name}, or {"input": name, "from": i, "to": j} for the input's sizes from dimension i up to j,
/// which count from the end where negative, null for the end; they are multiplied to one where `product`, each is
/// divided by `divisor` first, and a part whose `when` does not hold is left out.
const char *liger_signatures(void);

/// Prepares an operation. The first time a kernel is needed it is compiled, which takes some milliseconds.
///
/// `device` is -1 for the processor, the number of an NVIDIA GPU as the driver counts, or LIGER_AMD + the number of an AMD
/// GPU as HIP counts. `inputs` and `options` stay the caller's and are not used afterwards. The call is the caller's, to be
/// given to liger_release.
liger_status liger_prepare(
    const char *operation, int32_t device, const liger_array *inputs, int32_t input_count,
    const liger_option *options, int32_t option_count, liger_call **call);

/// How many arrays a call writes; their memory is the caller's.
int32_t liger_call_output_count(const liger_call *call);

/// What the output of a number looks like. Its name is owned by the call.
liger_status liger_call_output(const liger_call *call, int32_t number, liger_array *output);

/// Bytes of scratch memory that a run takes, 0 if none. A multiple of 256 bytes on a GPU, of 64 on the processor,
/// is its alignment.
int64_t liger_call_workspace(const liger_call *call);

/// Hands the operation to a stream; on the processor it is done when this returns.
///
/// `addresses` are those of the inputs in the order in which they were given, of the outputs, and of the
/// workspace where there is one. What is written may not overlap anything else. `stream` is the driver's
/// handle, 0 for its default stream; GPU work is not waited for. Memory must stay alive until it is done.
liger_status liger_run(
    const liger_call *call, uint64_t stream, const uint64_t *addresses, int32_t address_count);

/// As liger_run, for callers to whom every argument is costly: the call, the stream, the number of addresses and
/// the addresses, one after the other.
liger_status liger_run_packed(const uint64_t *words);

/// Ends a call. NULL is ignored. The call may not be running.
void liger_release(liger_call *call);

/// Waits for a stream's work and reports what failed in it.
liger_status liger_synchronize(int32_t device, uint64_t stream);

/// Names the library, or the folder of the library, that does matrix products on the processor. Without effect
/// once one has been loaded, and where the environment's LIGER_BLAS names one.
liger_status liger_use_blas(const char *path);

/// How often each kernel was launched: lines of a name, a tab and a number. Writes at most `capacity` bytes,
/// the last of them 0, and sets `needed` to the bytes of the whole text with its 0.
liger_status liger_launch_counts(char *text, int64_t capacity, int64_t *needed);

#ifdef __cplusplus
}
#endif
#endif
