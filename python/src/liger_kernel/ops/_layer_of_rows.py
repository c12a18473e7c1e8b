"""A linear layer whose logits exist for some rows at a time, for formulas that the Swift library has no kernel for."""

import torch

from liger_kernel._call import call


def whole(tensors):
    """Those that there are, as operations take them."""
    return {key: tensor.detach().contiguous() for key, tensor in tensors.items() if tensor is not None}


def logits_of(layer, rows):
    """Those of a linear layer in fp32: [..., V]."""
    tensors = layer | {"input": rows.reshape(-1, rows.shape[-1])}
    return call("linear_logits", tensors)["logits"].view(*rows.shape[:-1], -1)


class LayerOfRows:
    """A linear layer whose logits exist for some rows at a time, and its gradients of any function of them.

    Gradients are those of sums over tokens, in fp32: what they are divided by, `share`, and the upstream gradient, meet
    them in `gradient`, where they are rounded once.
    """

    share = 1.0

    def __init__(self, layer, needs, exact):
        self.needs, self.layer = needs, whole(layer)
        self.dtypes = {name: tensor.dtype for name, tensor in self.layer.items()}
        weight, bias = self.layer["weight"], self.layer.get("bias")
        if weight.dtype == torch.float16 and not exact:
            raise ValueError(
                "accum_dtype is torch.float16, which cannot hold sums over tokens; leave it out where a distillation "
                "has a formula of its own"
            )
        kept = torch.float32 if exact else weight.dtype
        self.sums = {
            "weight_sum": torch.zeros_like(weight, dtype=kept) if needs["weight"] else None,
            "bias_sum": torch.zeros_like(bias, dtype=torch.float32) if needs["bias"] else None,
        }
        # What an f16 weight's sum is over on a GPU.
        is_scaled = needs["weight"] and weight.dtype == torch.float16 and weight.is_cuda
        self.scale = weight.new_zeros(1, dtype=torch.float32) if is_scaled else None
        self.inputs = []

    def logits(self, rows):
        """[..., V] in fp32."""
        return logits_of(self.layer, rows)

    def add(self, rows, gradient):
        """Adds to the gradients what a chunk's logits' gradient makes of its rows."""
        own = rows.new_empty(rows.shape, dtype=torch.float32) if self.needs["input"] else None
        flat = {"input": rows, "gradient": gradient, "dinput": own}
        flat = {name: tensor if tensor is None else tensor.flatten(0, -2) for name, tensor in flat.items()}
        tensors = {"weight": self.layer["weight"], **self.sums, **flat, "scale": self.scale}
        call("linear_logits_gradients", tensors)
        if own is not None:
            self.inputs.append(own)

    def gradient(self, name, upstream):
        """That of input, weight or bias for an upstream gradient; None where it is not needed."""
        if upstream is None or not self.needs[name]:
            return None
        total = torch.cat(self.inputs) if name == "input" else self.sums[f"{name}_sum"]
        factor = upstream * self.share
        factor = factor * self.scale if name == "weight" and self.scale is not None else factor
        return torch.mul(total, factor, out=torch.empty_like(total, dtype=self.dtypes[name]))
