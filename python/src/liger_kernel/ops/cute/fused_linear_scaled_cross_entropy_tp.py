"""Where upstream has kernels over NVSHMEM. There are none here: the loss over ranks uses torch.distributed."""


def is_available():
    """Whether there are such kernels."""
    return False
