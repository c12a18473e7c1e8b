"""Recomputation by budget: gradient checkpointing that keeps what is dear while memory lasts.

Gradient checkpointing keeps the input of each block and computes the rest again in the backward pass, products of
matrices and attention included, which is nearly a whole forward pass more. Most GPUs have memory left over. Here the
results of products and attention are kept while a budget holds them, those that took the most time a byte first; norms,
gates and rotations are computed again from them.

How: one step runs as under gradient checkpointing and is measured (`measuring`): how long each product took, how many
bytes its result has, and how much memory was in use at each block of the forward and backward pass. The budget is then
shared out (`planning`). In later steps each block runs in torch's own `checkpoint`, under a mode that keeps results
of its operators in the forward pass and hands them out in place of the operators in the recomputation (`keeping`).
A block whose whole graph fits, and is worth its bytes, runs without checkpointing. Where the user gives memory of the
host, results that did not fit are kept there (`hosting`).
"""

from liger_kernel.recomputation.function import Recomputation
from liger_kernel.recomputation.installing import install

__all__ = ["Recomputation", "recompute"]


def recompute(model, budget="auto", verbose=True, host_budget=0):
    """Puts recomputation by budget in the place of a Hugging Face model's gradient checkpointing.

    model: a model of transformers, or one that contains such a model (PEFT, DDP, FSDP). Call this after patching, and
        after or before wrapping. It switches the model's gradient checkpointing on.
    budget: what memory may peak at. On a GPU the peak of all that PyTorch allocates on it: weights, gradients, states
        of the optimiser, activations (`torch.cuda.max_memory_allocated`). On the CPU, where PyTorch counts nothing, the
        bytes that blocks keep beyond their inputs. Bytes, or text such as "80GiB"; "auto" for what the device has free
        after one measured step.
    verbose: whether to print the plan when it is made.
    host_budget: bytes, or text such as "16GiB", of the host's memory, where results are kept that the budget does not
        hold, as far as the bus can copy them beside the products. The memory is pinned. Of blocks on a GPU that
        torch.compile does not compile: others raise ValueError when they run.

    Returns the `Recomputation`, whose `plan` says what is kept in which block, the expected peak and the time saved; it
    is None until the second step, as the first is measured. Gradients are bit for bit those of gradient checkpointing.

    Raises ValueError for a budget that is not one, or a model without gradient checkpointing.
    """
    return install(model, Recomputation(budget, verbose, host_budget))
