"""The Swift library, loaded on first use, and its calls: what `Sources/CLigerABI/include/liger.h` describes.

An operation is prepared once for shapes, dtypes and options (`prepare`), and run over addresses as often as one
likes. Running is what costs host time, and ctypes takes its time for each argument: so there is one, a block of
64-bit words.
"""

import ctypes
import functools
import importlib.util
import math
import os
import platform
import struct
import sys
import threading

from pathlib import Path

import torch

from liger_kernel import _refusals

OK, INVALID_ARGUMENT, UNKNOWN_NAME, NO_DEVICE, OUT_OF_MEMORY, CHECK_FAILED, NO_LIBRARY = range(7)
DEVICE_FAILED, MISALIGNED, INTERNAL = 7, 8, 9

# LIGER_AMD of liger.h: the library's number of the first AMD GPU.
_AMD = 65536

_DTYPES = {
    torch.float32: 0,
    torch.bfloat16: 1,
    torch.float16: 2,
    torch.int32: 3,
    torch.int64: 4,
    torch.uint8: 6,
}
_DTYPE_OF_CODE = {code: dtype for dtype, code in _DTYPES.items()}
_MAX_RANK = 8
_pointer = ctypes.c_void_p


class _Array(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p),
        ("dtype", ctypes.c_int32),
        ("rank", ctypes.c_int32),
        ("shape", ctypes.c_int64 * _MAX_RANK),
        ("strides", ctypes.c_int64 * _MAX_RANK),
        ("alignment", ctypes.c_int64),
    ]


class _Option(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("number", ctypes.c_double), ("text", ctypes.c_char_p)]


class LibraryNotFoundError(ImportError):
    """The Swift library is missing or does not load on this platform."""


class CheckFailedError(AssertionError, IndexError):
    """An operation refused the values it met, such as a label that is no class."""


_library = None
_lock = threading.Lock()


def library():
    """The loaded library.

    Raises LibraryNotFoundError, an ImportError, that says what to do if there is none.
    """
    return _library or _load()


def _load():
    global _library
    with _lock:
        if _library is None:
            path = os.environ.get("LIGER_LIBRARY") or str(Path(__file__).with_name("lib") / "libliger.so")
            if not os.path.exists(path):
                raise LibraryNotFoundError(
                    f"liger_kernel's compiled library is not at {path}. Install a wheel, or from a checkout with "
                    "Swift 6.2 or later run `pip install .`; LIGER_LIBRARY can name the file"
                )
            try:
                found = ctypes.CDLL(path)
            except OSError as error:
                raise LibraryNotFoundError(_reason(path, error)) from error
            try:
                _declare(found)
            except AttributeError as error:
                raise LibraryNotFoundError(
                    f"liger_kernel's compiled library {path} is of another version than this package: {error}. "
                    "Install both from one, with `pip install .` from a checkout"
                ) from error
            _library = found
    return _library


# Machines by their number in the header of an ELF file, little-endian ones.
_MACHINES = {62: "x86_64", 183: "aarch64", 243: "riscv64"}


def _reason(path, error):
    """Why a library that is there does not load."""
    start = f"liger_kernel's compiled library {path} does not load here"
    with open(path, "rb") as file:
        header = file.read(20)
    made_for = _MACHINES.get(int.from_bytes(header[18:20], "little")) if header[:4] == b"\x7fELF" else None
    here = platform.machine()
    if made_for is not None and (sys.platform != "linux" or made_for != here):
        return (
            f"{start}: it is for Linux on {made_for}, and this is {sys.platform} on {here}. Wheels are made for Linux "
            "on x86_64; elsewhere LIGER_LIBRARY can name a library that was built there"
        )
    return (
        f"{start} ({sys.platform}): {error}. It needs a Linux like the one it was built for, with no older glibc; "
        "elsewhere build it with `pip install .`"
    )


def _declare(lib):
    lib.liger_version.restype = ctypes.c_char_p
    lib.liger_last_message.restype = ctypes.c_char_p
    lib.liger_signatures.restype = ctypes.c_char_p
    lib.liger_prepare.argtypes = [
        ctypes.c_char_p, ctypes.c_int32, ctypes.POINTER(_Array), ctypes.c_int32, ctypes.POINTER(_Option),
        ctypes.c_int32, ctypes.POINTER(_pointer),
    ]  # fmt: skip
    lib.liger_call_output_count.argtypes = [_pointer]
    lib.liger_call_output.argtypes = [_pointer, ctypes.c_int32, ctypes.POINTER(_Array)]
    lib.liger_call_workspace.argtypes = [_pointer]
    lib.liger_call_workspace.restype = ctypes.c_int64
    lib.liger_run.argtypes = [_pointer, _pointer, ctypes.POINTER(ctypes.c_uint64), ctypes.c_int32]
    # liger_run_packed declares no arguments: a `bytes` is handed over as its address, and at once.
    lib.liger_release.argtypes = [_pointer]
    lib.liger_release.restype = None
    lib.liger_synchronize.argtypes = [ctypes.c_int32, _pointer]
    lib.liger_use_blas.argtypes = [ctypes.c_char_p]
    lib.liger_launch_counts.argtypes = [ctypes.c_char_p, ctypes.c_int64, ctypes.POINTER(ctypes.c_int64)]
    _offer_blas(lib)


def _offer_blas(lib):
    """Names the BLAS of the package scipy-openblas32, without importing it."""
    spec = importlib.util.find_spec("scipy_openblas32")
    if spec is not None and spec.origin is not None:
        lib.liger_use_blas(os.path.join(os.path.dirname(spec.origin), "lib").encode())


def raise_error(status, operation=""):
    """Raises the exception of a status, with the library's message."""
    message = library().liger_last_message().decode()
    if status == CHECK_FAILED:
        raise CheckFailedError(message)
    if status == OUT_OF_MEMORY:
        raise getattr(torch, "OutOfMemoryError", torch.cuda.OutOfMemoryError)(message)
    if status == INVALID_ARGUMENT:
        raise ValueError(message)
    if status == UNKNOWN_NAME:
        raise NotImplementedError(message)
    if status == NO_LIBRARY:
        raise ImportError(message)
    raise RuntimeError(f"{operation}: {message}" if operation else message)


class Call:
    """An operation prepared for arrays of known shapes, on one device.

    `enter(pack(handle, stream, count, ...))` runs it over as many addresses, those of inputs, outputs and workspace,
    and returns a status, for `recover` where it is not 0. The block belongs to that one run, so that any thread may
    run a call at any time.
    """

    __slots__ = (
        "__weakref__", "_spec", "_unaligned", "enter", "handle", "input_count", "input_sizes", "outputs", "pack",
        "workspace",
    )  # fmt: skip

    def __init__(self, handle, spec, is_aligned):
        lib = library()
        self.handle = handle
        self._spec = spec
        self._unaligned = None if is_aligned else self
        self.outputs = []
        for number in range(lib.liger_call_output_count(handle)):
            array = _Array()
            status = lib.liger_call_output(handle, number, ctypes.byref(array))
            if status:
                raise_error(status, spec[0])
            self.outputs.append(
                (array.name.decode(), tuple(array.shape[: array.rank]), _DTYPE_OF_CODE[array.dtype])
            )
        self.workspace = lib.liger_call_workspace(handle)
        self.input_count = len(spec[2])
        self.input_sizes = [math.prod(shape) for _, shape, *_ in spec[2]]
        self.enter = lib.liger_run_packed
        self.pack = _packer(3 + self.input_count + len(self.outputs) + (self.workspace > 0))

    def __del__(self):
        if _library is not None:
            _library.liger_release(self.handle)

    def recover(self, status, packed):
        """After a run that failed: again without relying on alignment, or the error raised."""
        if status != MISALIGNED or self._unaligned is self:
            raise_error(status, self._spec[0])
        if self._unaligned is None:
            self._unaligned = prepare(*self._spec, is_aligned=False)
        again, (_, stream, _, *addresses) = self._unaligned, struct.unpack(f"={len(packed) // 8}Q", packed)
        assert again.workspace <= self.workspace, "alignment does not change what an operation needs"
        addresses = addresses[: self.input_count + len(self.outputs) + (again.workspace > 0)]
        packed = again.pack(again.handle, stream, len(addresses), *addresses)
        status = self.enter(packed)
        if status:
            again.recover(status, packed)


@functools.cache
def _packer(count):
    return struct.Struct(f"={count}Q").pack


def device_number(index):
    """The library's number of a device from torch's, which calls AMD's GPUs "cuda" too."""
    return index + _AMD if index >= 0 and torch.version.hip is not None else index


def prepare(operation, device, inputs, options, is_aligned=True):
    """Prepares an operation.

    device: -1 for the CPU, else the GPU's index, as torch counts. inputs: (name, shape, strides, dtype) each.
    options: name to number, bool, word or list of whole numbers. Raises ValueError, NotImplementedError or
    RuntimeError with the library's message.
    """
    lib = library()
    if torch._C._get_tracing_state() is not None:
        # Whose sizes are tensors, new ones in each call, so that no call was found prepared.
        raise RuntimeError(
            f"{operation}: torch.jit.trace, which older ONNX exporters use too, records operations of torch alone; "
            "what a kernel gives would be a constant of the traced program. Use torch.export, or trace the model "
            "without the kernels"
        )
    arrays = (_Array * len(inputs))()
    for array, (name, shape, strides, dtype) in zip(arrays, inputs):
        code = _DTYPES.get(dtype)
        if code is None:
            if found := _refusals.reason(operation, inputs):
                raise TypeError(found)
            known = ", ".join(str(known).removeprefix("torch.") for known in _DTYPES)
            raise TypeError(f"{operation}: '{name}' is {dtype}, which is not one of {known}. Convert it first")
        if len(shape) > _MAX_RANK:
            raise ValueError(f"{operation}: '{name}' has {len(shape)} dimensions, at most {_MAX_RANK} are taken")
        array.name, array.dtype, array.rank = name.encode(), code, len(shape)
        array.shape[: len(shape)] = shape
        array.strides[: len(shape)] = strides
        array.alignment = 16 if is_aligned else 1
    settings = (_Option * len(options))()
    for setting, (name, value) in zip(settings, options.items()):
        setting.name = name.encode()
        if isinstance(value, (list, tuple)):
            value = ",".join(map(str, value))
        if isinstance(value, str):
            setting.text = value.encode()
        else:
            setting.number = value
    handle = _pointer()
    number = device_number(device)
    status = lib.liger_prepare(
        operation.encode(), number, arrays, len(arrays), settings, len(settings), ctypes.byref(handle)
    )
    # A kernel that cannot be made of such types is an internal error.
    if status in (INVALID_ARGUMENT, INTERNAL) and (found := _refusals.reason(operation, inputs)):
        raise ValueError(found)
    if status:
        raise_error(status, operation)
    return Call(handle.value, (operation, device, inputs, options), is_aligned)


def launch_counts():
    """How often each kernel was launched by this process: what proves that kernels ran."""
    lib, needed = library(), ctypes.c_int64()
    size = 4096
    while True:
        text = ctypes.create_string_buffer(size)
        status = lib.liger_launch_counts(text, size, ctypes.byref(needed))
        if status:
            raise_error(status)
        if needed.value <= size:
            lines = (line.split("\t") for line in text.value.decode().splitlines())
            return {name: int(count) for name, count in lines}
        size = needed.value + 256


def synchronize(device):
    """Waits for the work of a device's current stream and raises what failed in it."""
    index = -1 if device.type == "cpu" else device.index or 0
    stream = 0 if index < 0 else torch._C._cuda_getCurrentRawStream(index)
    status = library().liger_synchronize(device_number(index), stream)
    if status:
        raise_error(status)
