"""Whether a backward pass may write over the two tensors that its forward pass saved.

It may when nobody else can see their memory: the gradients then need no memory of their own. Three counts say who can:
of references to the tensor in C++ (other nodes that saved it, views of it), to its storage (views, detached tensors,
arrays, results saved by their own node) and to its Python object (a user's variable, a hook's list). Each of these
raises at least one of them above that of a tensor nobody else has.

What a tensor nobody else has counts is not written here, as releases of Python and torch differ in what they hold
meanwhile. It is found once, by counting such a tensor and shared ones in a backward pass of a probe, in which the same
function does the counting. Tensors that went through hooks for saved tensors, as those of a checkpoint do, count less:
so it is found with hooks and without, and a context notes which it has. Where a count is missing, or where shared
tensors count the same, nothing is ever written over.

No count tells that another stream still reads a tensor which was given up to it by `record_stream`: where that is done
with gate or up themselves, LIGER_KEEP_SAVED=1 in the environment has every pass keep what it saved.

Counts say nothing about a second pass: a graph that is kept (retain_graph, create_graph) keeps its tensors.
"""

import contextlib
import functools
import os
import sys
import threading

import torch

from torch.autograd.graph import saved_tensors_hooks

from liger_kernel.ops._primitive import is_compiling

_transforms_are_active = torch._C._are_functorch_transforms_active


def note_hooks(ctx):
    """Notes for `saved_pair`, in a forward pass, whether hooks take what the context saves."""
    ctx.has_hooks = None if is_compiling() or not _can_count() else _top_hooks(True) is not None


def saved_pair(ctx):
    """The two tensors that a context saved, and whether this backward pass may write over both."""
    if is_compiling() or ctx.has_hooks is None or _keeps_graph() or _transforms_are_active():
        return *ctx.saved_tensors, False
    a, b, *counts = _counted(ctx)
    alone = _counts_alone().get(ctx.has_hooks)
    return a, b, counts == [alone, alone] and _is_whole(a) and _is_whole(b)


def _counted(ctx):
    """The two saved tensors and the counts of both. Nothing else may count, as a call or a variable more counts."""
    a, b = ctx.saved_tensors
    of_a = a._use_count(), _storage_uses(a.untyped_storage()._cdata), sys.getrefcount(a)
    of_b = b._use_count(), _storage_uses(b.untyped_storage()._cdata), sys.getrefcount(b)
    return a, b, of_a, of_b


def _is_whole(tensor):
    """Whether it is a plain result that fills its storage in order, of memory that torch made for this process.

    Memory of others, such as an array's, counts nobody: torch cannot resize it. On a GPU any memory may be shared.
    """
    storage = tensor.untyped_storage()
    return (
        type(tensor) is torch.Tensor
        and not tensor.is_leaf
        and tensor.is_contiguous()
        and tensor.storage_offset() == 0
        and tensor.numel() * tensor.itemsize == storage.nbytes()
        and storage.resizable()
        and not (tensor.device.type == "cpu" and storage.is_shared())
    )


try:
    from torch._C import _storage_Use_Count as _storage_uses
    from torch._C._autograd import _get_current_graph_task_keep_graph as _keeps_graph
    from torch._C._autograd import _top_saved_tensors_default_hooks as _top_hooks

    _top_hooks(True)
    _torch_counts = hasattr(torch.Tensor, "_use_count") and hasattr(torch.UntypedStorage, "resizable")
except (ImportError, TypeError):  # Another release of torch.
    _torch_counts = False


@functools.cache
def _can_count():
    """Whether torch tells its counts and Python's are exact, as they are with the global lock and no compiler."""
    has_lock = getattr(sys, "_is_gil_enabled", lambda: True)()
    has_compiler = hasattr(sys, "_jit") and sys._jit.is_enabled()
    return _torch_counts and has_lock and not has_compiler and os.environ.get("LIGER_KEEP_SAVED", "0") == "0"


@functools.cache
def _counts_alone():
    """The counts of a tensor that nobody else has, by whether hooks took it; none where shared ones count the same."""
    found = {}

    def find():
        # A tracer that looks at variables holds them.
        sys.settrace(None)
        sys.setprofile(None)
        for hooks in (False, True):
            alone, same = _probed(hooks, lambda a: None)
            sharers = (lambda a: a, lambda a: a.square(), lambda a: a.detach(), lambda a: a[:1])
            if alone == same and all(_probed(hooks, share)[0] != alone for share in sharers):
                found[hooks] = alone

    # In a thread of its own no mode, hook or transform of the caller's is on.
    thread = threading.Thread(target=find)
    thread.start()
    thread.join()
    return found


def _probed(hooks, share):
    """The counts in a backward pass of two tensors, the first of which somebody holds through what `share` gives."""
    seen = []
    x = torch.ones(2, device="cpu", dtype=torch.float32, requires_grad=True)
    with saved_tensors_hooks(lambda t: [t.detach()], list.pop) if hooks else contextlib.nullcontext():
        a, b = x * 2, x * 3
        held = share(a)
        y = _Probe.apply(a, b, seen)
        del a, b
    y.backward(torch.ones_like(y))
    del held
    return seen


class _Probe(torch.autograd.Function):
    """Tells the counts of its inputs."""

    @staticmethod
    def forward(ctx, a, b, seen):
        ctx.seen = seen
        ctx.save_for_backward(a, b)
        return a + b

    @staticmethod
    def backward(ctx, upstream):
        ctx.seen.extend(_counted(ctx)[2:])
        return upstream, upstream, None
