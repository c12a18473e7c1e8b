"""Fused kernels for training language models: the Swift library swift-liger behind upstream's names."""


def launch_counts():
    """How often each kernel was launched by this process, by name: what proves that kernels ran."""
    from liger_kernel._library import launch_counts

    return launch_counts()
