"""Fused kernels for training language models: the Swift library swift-liger behind upstream's names."""


def __getattr__(name):
    if name == "report":
        from liger_kernel.transformers.monkey_patch import report

        return report
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
