"""Formulas of whole rows of logits that the Swift library has no kernel for."""

import torch
import torch.nn.functional as F

from liger_kernel._call import call
from liger_kernel.chunked_loss._formulas import Parts
from liger_kernel.chunked_loss._formulas import differentiated
from liger_kernel.chunked_loss._formulas import split
from liger_kernel.chunked_loss._shares import Trial
from liger_kernel.chunked_loss._shares import may_check
from liger_kernel.chunked_loss._shares import nearby
from liger_kernel.ops._layer_of_rows import LayerOfRows
from liger_kernel.ops._layer_of_rows import logits_of
from liger_kernel.ops._layer_of_rows import whole
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
        if may_check(self.cls, logits):
            self.try_formula(logits, others, target, arguments)

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

    def try_formula(self, logits, others, target, arguments):
        """Raises ValueError for a formula that gives a mean of its tokens. Two are tried, each in two forms."""
        few = tuple(slice(0, 2) for _ in range(logits.dim() - 2))
        own, other, labels = (tensor[:1][(slice(None), *few)] for tensor in (logits, others, target))
        own = F.pad(own / self.temperature, (0, max(0, other.shape[-1] - own.shape[-1])))
        labels = labels.masked_fill(labels == self.ignore_index, 0)
        pieces = [[own, nearby(own)], [nearby(other), other.clone()], [labels, labels]]

        def of(first, last):
            student, teacher, classes = (torch.cat(each[first:last]) for each in pieces)
            given = {"target": classes, "ignore_index": self.ignore_index, **arguments}
            return self.cls.distillation_loss_fn(student, teacher, **given)

        # A part of one token has no mean, and nothing is wrong with a formula of it.
        Trial(self.cls, logits.device).of_sum(of, logits[..., 0].numel())

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
