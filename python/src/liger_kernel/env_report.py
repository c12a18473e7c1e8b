"""What a report of a bug should say of the machine."""

import importlib.metadata
import platform
import sys


def print_env_report():
    """Prints the versions of the system, Python and the packages that matter, and the GPUs."""
    print("Environment report:\n-------------------")
    for name, value in facts():
        print(f"{name}: {value}")


def facts():
    """Names and values of the report."""
    yield "Operating system", platform.platform()
    yield "Python", sys.version.split()[0]
    for package in ("liger_kernel", "torch", "transformers", "trl", "peft", "triton"):
        try:
            yield package, importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            yield package, "not installed"
    try:
        from liger_kernel import _library

        yield "Swift library", _library.library().liger_version().decode()
    except ImportError as error:
        yield "Swift library", error
    try:
        import torch
    except ImportError:
        return
    yield "CUDA of torch", torch.version.cuda or "none"
    for index in range(torch.cuda.device_count()):
        major, minor = torch.cuda.get_device_capability(index)
        yield f"GPU {index}", f"{torch.cuda.get_device_name(index)}, sm_{major}{minor}"


if __name__ == "__main__":
    print_env_report()
