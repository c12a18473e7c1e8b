"""Formulas of whole rows of logits that the Swift library has no kernel for."""

import torch
import torch.nn.functional as F

from liger_kernel._call import call
from liger_kernel.chunked_loss._formulas import Parts
from liger_kernel.chunked_loss._formulas import differentiated
from liger_kernel.chunked_loss._formulas import split
from liger_kernel.chunked_loss._formulas import whole
from liger_kernel.ops._linear_loss import labels
from liger_kernel.ops._memory import budget
from liger_kernel.ops.cross_entropy import GRADIENT

CHUNK_SIZE = 1024


def chunk_count(length, chunk_size, budget_bytes, bytes_each):
    """How many chunks there are: of as many rows as asked for, or as a budget holds."""
    if not isinstance(chunk_size, int) or chunk_size < 1:
        raise ValueError(f"chunk_size must be a whole number of at least 1; found {chunk_size!r}")
    given = budget(budget_bytes, None if chunk_size == CHUNK_SIZE else chunk_size * bytes_each)
    rows = chunk_size if given is None else max(1, given // bytes_each)
    return max(1, length // rows)


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


class RowsOfLogits(LayerOfRows):
    """One evaluation of a formula of whole rows of logits that the library has no kernel for, chunk by chunk."""

    def __init__(self, cls, student, teacher, needs, exact, ignore_index, temperature):
        super().__init__(student, needs, exact)
        self.cls, self.ignore_index, self.temperature, self.teacher = cls, ignore_index, temperature, whole(teacher)

    def run(self, target, chunks, weights, wants_hard, arguments):
        """(loss, soft, hard)."""
        parts, softs, hards = Parts(self.cls, self.layer["input"]), [], []
        pieces = (split(tensor, chunks) for tensor in (self.layer["input"], self.teacher["input"], target))
        for own, other, labels_of_chunk in zip(*pieces):
            soft, hard = self.of_chunk(own, other, labels_of_chunk, weights, wants_hard, arguments, parts)
            softs.append(soft)
            hards.append(hard)
        parts.check()
        self.share = 1 / (target != self.ignore_index).sum().clamp_min(1)
        soft, hard = sum(softs) * self.share, sum(hards) * self.share
        self.layer = self.teacher = None
        return weights[0] * hard + weights[1] * soft, soft, hard

    def of_chunk(self, own, other, target, weights, wants_hard, arguments, parts):
        """The sums of a chunk's soft and hard losses, whose gradients are added to the others."""
        hard, slope = self.hard_loss(logits := self.logits(own), target, wants_hard, weights[0])
        others = logits_of(self.teacher, other).div_(self.temperature)

        def evaluate(logits):
            tempered = logits / self.temperature
            missing = others.shape[-1] - tempered.shape[-1]
            tempered = F.pad(tempered, (0, missing)) if missing > 0 else tempered
            found = self.cls.distillation_loss_fn(
                tempered, others, target=target, ignore_index=self.ignore_index, **arguments
            )
            return parts.add(found), ()

        soft, _, slopes = differentiated(evaluate, logits, wants=any(self.needs.values()))
        if slopes is not None:
            gradient = slopes[0] * weights[1] if slope is None else slopes[0].mul_(weights[1]).add_(slope)
            self.add(own, gradient)
        return soft, hard

    def hard_loss(self, logits, target, wants, weight):
        """The sum of the labels' cross entropy, and the weighted gradient of the logits; None where not wanted."""
        if not wants:
            return logits.new_zeros(()), None
        needs = weight != 0 and any(self.needs.values())
        out = call(
            "cross_entropy", {"logits": logits.flatten(0, -2), "labels": labels(target).flatten()}, reduction="sum",
            ignore_index=self.ignore_index, wants=GRADIENT if needs else 0,
        )  # fmt: skip
        return out["loss"], out["gradient"].view(logits.shape).mul_(weight) if needs else None
