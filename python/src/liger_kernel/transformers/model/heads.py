"""The output head as the loss needs it: a weight and a bias, read while they are whole.

A fused loss multiplies by the head's weight itself, so it has to know that the head is a linear map and it has to
look at the weight when it is there. Two things make that less than obvious:

* Adapters. A PEFT head may be a wrapper that sends its input to a trained copy (`modules_to_save`) or a LoRA layer,
  x W^T + s (x A^T) B^T, which is again one linear map of a wider row: [x, s x A^T] [W, B]^T.
* Sharding. Under ZeRO-3 and FSDP the weight is gathered by hooks around the head's own call and is a fragment, or
  empty, at any other time. The loss then runs inside that call, in the place of the head's forward.

* Tensor parallelism (`tp_plan`). Each rank holds some rows of the weight, and the head's forward gathers logits. A plain
  cross entropy is computed over the ranks instead (`model.parallel`); any other loss gathers the weight.

Any other head (quantised, hooked by the user, an adapter of another kind) is not taken apart: it is called as the module
that it is and the loss is taken from its logits. That costs their memory and is always right.
"""

from __future__ import annotations

from typing import Callable
from typing import Optional

import torch
import torch.nn as nn

from liger_kernel.ops._primitive import is_compiling
from liger_kernel.ops.utils import has_memory
from liger_kernel.transformers.fallback import HOOKS
from liger_kernel.transformers.fallback import all_are_intercepted
from liger_kernel.transformers.fallback import takes

# Packages whose hooks gather or move a weight.
SHARDING = ("torch.distributed.fsdp", "torch.distributed._composable", "deepspeed.", "accelerate.")

Product = Callable[[torch.Tensor, torch.Tensor, Optional[torch.Tensor]], object]


def run_with_head(head: nn.Module, hidden: torch.Tensor, function: Product):
    """`(True, function(rows, weight, bias))` with rows weight^T + bias = head(hidden), or `(False, None)`.

    `False` says that the head is not a linear map this package can take apart; nothing has been run then.
    """
    leaf = resolve(head)
    if leaf is None or not takes(hidden):
        return False, None
    if not gathered_by_call(head, leaf):
        parts = linear_parts(leaf, hidden)
        return (False, None) if parts is None else (True, function(*parts))
    return inside_forward(head, leaf, hidden, function)


def resolve(head: nn.Module) -> Optional[nn.Module]:
    """The module that does the head's work beneath its wrappers, or None where one of them is unknown."""
    if not isinstance(head, nn.Module) or all_are_intercepted():
        return None
    while head is not None and not is_intercepted(head):
        if is_fsdp1(head):
            head = head.module
        elif is_wrapper_of_saved_modules(head):
            head = active_module(head)
        else:
            return head if is_plain_linear(head) or is_lora_linear(head) else None
    return None


def gathered_by_call(head: nn.Module, leaf: nn.Module) -> bool:
    """Whether the weight is whole only inside the head's own call."""
    if is_fsdp1(head) or is_fsdp2(head) or is_fsdp2(leaf) or "_hf_hook" in leaf.__dict__:
        return True
    # A parametrised weight is computed where it is read, so it is left alone here.
    linear = leaf.get_base_layer() if hasattr(leaf, "get_base_layer") else leaf
    return hasattr(linear._parameters.get("weight"), "ds_id")


def inside_forward(head: nn.Module, leaf: nn.Module, hidden: torch.Tensor, function: Product):
    """Calls the head with `function` in the place of its innermost forward, so that its hooks gather the weight."""
    # accelerate keeps the forward it wraps under this name; its hook moves the weight in and out around it.
    slot = "_old_forward" if "_hf_hook" in leaf.__dict__ else "forward"
    saved = leaf.__dict__.get(slot)

    def restore():
        if saved is None:
            leaf.__dict__.pop(slot, None)
        else:
            leaf.__dict__[slot] = saved

    result = []

    def redirected(rows, *args, **kwargs):
        restore()
        parts = linear_parts(leaf, rows)
        if parts is None:
            return getattr(leaf, slot)(rows, *args, **kwargs)
        result.append(function(*parts))
        # What leaves the call is what the hooks tie the backward pass's gathering to.
        value = result[0]
        return value if torch.is_tensor(value) else value.loss

    leaf.__dict__[slot] = redirected
    try:
        loss = head(hidden)
    finally:
        restore()
    if not result:
        return False, None
    value = result[0]
    if torch.is_tensor(value):
        return True, loss
    value.loss = loss
    return True, value


def linear_parts(leaf: nn.Module, hidden: torch.Tensor):
    """`(rows, weight, bias)` of a linear or LoRA head, or None where the weight is not the whole matrix."""
    if is_lora_linear(leaf):
        return lora_parts(leaf, hidden)
    hidden, weight, bias = whole(hidden), whole(leaf.weight), whole(leaf.bias)
    return (hidden, weight, bias) if is_matrix(weight, leaf.out_features) and are_read(hidden, bias) else None


def lora_parts(leaf: nn.Module, hidden: torch.Tensor):
    base = leaf.get_base_layer()
    weight, bias = whole(base.weight), whole(base.bias)
    hidden = whole(hidden)
    if not is_matrix(weight, base.out_features) or not are_read(hidden, bias):
        return None
    if leaf.disable_adapters or leaf.merged:
        return hidden, weight, bias
    rows, columns = [hidden], [weight]
    for name in leaf.active_adapters:
        if name not in leaf.lora_A:
            continue
        down, up = leaf.lora_A[name], leaf.lora_B[name]
        if not is_plain_linear(up) or is_intercepted(up) or up.bias is not None:
            return None
        if not is_matrix(whole(up.weight), base.out_features):
            return None
        narrow = down(leaf.lora_dropout[name](hidden.to(down.weight.dtype)))
        rows.append((narrow * leaf.scaling[name]).to(hidden.dtype))
        columns.append(whole(up.weight).to(weight.dtype))
    if len(rows) == 1:
        return hidden, weight, bias
    return torch.cat(rows, dim=-1), torch.cat(columns, dim=-1), bias


def is_plain_linear(module: nn.Module) -> bool:
    """A linear layer whose forward is torch's own: not quantised, not rewritten, not split over devices by a plan."""
    return (
        isinstance(module, nn.Linear)
        and type(module).forward is nn.Linear.forward
        and getattr(module, "_hf_tp_plan", None) is None
        and is_float(module._parameters.get("weight"))
    )


def is_lora_linear(module: nn.Module) -> bool:
    """A LoRA layer of PEFT over a plain linear layer, without variants (DoRA and the like change the product)."""
    if not hasattr(module, "lora_A") or not hasattr(module, "get_base_layer"):
        return False
    if type(module).__name__ != "Linear" or not type(module).__module__.startswith("peft.tuners.lora"):
        return False
    active = set(module.active_adapters)
    variants = getattr(module, "lora_variant", {})
    return (
        not any(name in variants for name in active)
        and not any(module.use_dora.get(name, False) for name in active)
        and not getattr(module, "fan_in_fan_out", False)
        and not any(name in module.lora_embedding_A for name in active)
        and is_plain_linear(module.get_base_layer())
        and not is_intercepted(module.get_base_layer())
    )


def is_wrapper_of_saved_modules(module: nn.Module) -> bool:
    return type(module).__name__ == "ModulesToSaveWrapper" and type(module).__module__.startswith("peft.")


def active_module(wrapper: nn.Module) -> Optional[nn.Module]:
    if wrapper.disable_adapters:
        return wrapper.original_module
    names = [name for name in wrapper.active_adapters if name in wrapper.modules_to_save]
    if len(names) > 1:
        return None
    return wrapper.modules_to_save[names[0]] if names else wrapper.original_module


def is_fsdp1(module: nn.Module) -> bool:
    return type(module).__name__ == "FullyShardedDataParallel"


def is_fsdp2(module: nn.Module) -> bool:
    return any(cls.__name__ == "FSDPModule" for cls in type(module).__mro__)


def is_intercepted(module: nn.Module) -> bool:
    """Whether somebody watches or changes what goes through a module; sharding's own hooks do not count."""
    own = module.__dict__.get("_old_forward" if "_hf_hook" in module.__dict__ else "forward")
    if is_spread(module):
        own = None
    return (
        (own is not None and getattr(own, "__func__", None) is not type(module).forward)
        or type(module).__call__ is not nn.Module.__call__
        or any(not is_of_sharding(hook) for kind in HOOKS for hook in getattr(module, kind).values())
        or any(not is_of_sharding(hook) for hook in hooks_of_accelerate(module))
    )


def hooks_of_accelerate(module: nn.Module):
    hook = module.__dict__.get("_hf_hook")
    return () if hook is None else getattr(hook, "hooks", (hook,))


def is_of_sharding(hook) -> bool:
    """Whether a hook gathers or moves a weight, and leaves what goes through the module as it is."""
    return str(getattr(getattr(hook, "func", hook), "__module__", "")).startswith(SHARDING)


def is_spread(module: nn.Module) -> bool:
    """Whether a plan of transformers has each rank hold a run of a linear layer's rows, and gather what they give."""
    weight, own = module._parameters.get("weight"), module.__dict__.get("forward")
    return (
        isinstance(module, nn.Linear)
        and str(getattr(own, "__module__", "")) == "transformers.distributed.tensor_parallel"
        and hasattr(weight, "placements")
        and len(weight.placements) == 1
        and weight.placements[0].is_shard(0)
    )


def whole(tensor: Optional[torch.Tensor]) -> Optional[torch.Tensor]:
    """A distributed tensor gathered; its gradient is scattered again by autograd."""
    return tensor.full_tensor() if tensor is not None and hasattr(tensor, "full_tensor") else tensor


def is_float(weight: Optional[torch.Tensor]) -> bool:
    """Whether a weight is of numbers that a kernel reads; a parametrised one, None here, is looked at when computed."""
    if weight is None:
        return True
    return weight.is_floating_point() and (are_read(weight) or hasattr(weight, "full_tensor"))


def is_matrix(weight: torch.Tensor, rows: int) -> bool:
    return weight.dim() == 2 and weight.shape[0] == rows and weight.shape[1] > 0 and are_read(weight)


def are_read(*tensors: Optional[torch.Tensor]) -> bool:
    """Whether kernels read these tensors from memory; under torch.compile, stand-ins of tensors that they will read."""
    return is_compiling() or all(tensor is None or has_memory(tensor) for tensor in tensors)
