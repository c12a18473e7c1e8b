"""What this machine has, with upstream's names."""

import functools
import importlib.metadata
import importlib.util
import operator

import torch


def is_peft_available():
    """Whether the package peft can be imported."""
    return importlib.util.find_spec("peft") is not None


PEFT_AVAILABLE = is_peft_available()


def is_npu_available():
    """Whether this torch has an Ascend NPU."""
    module = getattr(torch, "npu", None)
    return module is not None and bool(module.is_available())


def infer_device():
    """Gives "cuda" (also for AMD's GPUs), "npu", "xpu" or "cpu"."""
    if torch.cuda.is_available():
        return "cuda"
    if is_npu_available():
        return "npu"
    xpu = getattr(torch, "xpu", None)
    return "xpu" if xpu is not None and xpu.is_available() else "cpu"


def infer_comm_backend():
    """The collective library that goes with the device: "nccl", "hccl", "xccl", "mpi" or "gloo"."""
    device = infer_device()
    if device in ("cuda", "npu", "xpu"):
        return {"cuda": "nccl", "npu": "hccl", "xpu": "xccl"}[device]
    distributed = torch.distributed
    return "mpi" if distributed.is_available() and distributed.is_mpi_available() else "gloo"


def _infer_nvidia_arch(device_id):
    major, minor = torch.cuda.get_device_capability(device_id)
    if (major, minor) == (10, 3):
        return "blackwell_ultra"
    names = {7: "volta_turing", 8: "ampere_ada", 9: "hopper", 10: "blackwell", 12: "blackwell_consumer"}
    known = names.get(major) if (major, minor) == (10, 0) or major != 10 else None
    return known or f"sm_{major}{minor}"


def _infer_amd_arch(device_id):
    name = torch.cuda.get_device_properties(device_id).gcnArchName.split(":")[0]
    if name.startswith("gfx9"):
        return {"gfx908": "cdna1", "gfx90a": "cdna2", "gfx950": "cdna4"}.get(name, "cdna3")
    return {"gfx10": "rdna2", "gfx11": "rdna3", "gfx12": "rdna4"}.get(name[:5], name)


def _infer_xpu_arch(device_id):
    name = torch.xpu.get_device_properties(device_id).name.lower()
    return "pvc" if "max" in name else "arc" if "arc" in name else "xpu"


def _infer_npu_arch(device_id):
    name = torch.npu.get_device_name(device_id).lower()
    return "ascend910" if "910" in name else "ascend310" if "310" in name else "npu"


@functools.lru_cache
def infer_device_arch(device_id=0):
    """The family of a device, such as "hopper"; what `infer_device` says where it cannot be told."""
    device = infer_device()
    try:
        if device == "cuda":
            return (_infer_amd_arch if torch.version.hip else _infer_nvidia_arch)(device_id)
        if device in ("xpu", "npu"):
            return {"xpu": _infer_xpu_arch, "npu": _infer_npu_arch}[device](device_id)
    except Exception:  # Whatever a driver throws: the family is a hint.
        pass
    return device


def get_total_gpu_memory():
    """Memory of the first GPU in whole GiB. Raises RuntimeError where there is none."""
    device = infer_device()
    if device == "cpu":
        raise RuntimeError("Unsupported device: cpu has no GPU memory")
    return getattr(torch, device).get_device_properties(0).total_memory // (1 << 30)


def transformers_version_dispatch(
    required_version, before_fn, after_fn, before_args=(), after_args=(), before_kwargs=None, after_kwargs=None
):
    """Calls `after_fn` from a version of transformers on, else `before_fn`."""
    from packaging.version import Version

    if operator.ge(Version(importlib.metadata.version("transformers")), Version(required_version)):
        return after_fn(*after_args, **(after_kwargs or {}))
    return before_fn(*before_args, **(before_kwargs or {}))
