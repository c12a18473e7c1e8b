"""Losses of a student's last layer compared with a teacher's."""

import math

import torch
import torch.nn.functional as F

from liger_kernel.chunked_loss._formulas import FormulaFunction
from liger_kernel.chunked_loss._formulas import kernel_options
from liger_kernel.chunked_loss._formulas import wanted
from liger_kernel.chunked_loss._rows import CHUNK_SIZE
from liger_kernel.chunked_loss._rows import RowsOfLogits
from liger_kernel.chunked_loss._rows import chunk_count
from liger_kernel.ops._linear_loss import chunk_bytes
from liger_kernel.ops._linear_loss import labels
from liger_kernel.ops._linear_loss import layer
from liger_kernel.ops._memory import bytes_of_exact_logits
from liger_kernel.ops._memory import sums_exactly
from liger_kernel.ops._primitive import first_order


class LigerFusedLinearDistillationBase(FormulaFunction):
    """weight_hard_loss times the labels' cross entropy plus weight_soft_loss times a distance to a teacher.

    student_input: (N, Hs), student_weight: (V, Hs), teacher_input: (N, Ht), teacher_weight: (V or more, Ht),
    true_labels: (N). Both losses are means over the tokens whose label is not `ignore_index`. The missing logits of a
    student with fewer classes are 0. Gives the loss, or (loss, soft, hard), in fp32. Gradients are the student's.

    A subclass may bring a formula of its own, `distillation_loss_fn`. It is called for `chunk_size` tokens at a time
    with (student's logits, teacher's, target=, ignore_index=, beta=, further arguments of `forward`): all classes, in
    fp32, over the temperature. It gives the sum of the losses of the tokens that are not ignored.
    """

    FORMULA = "distillation_loss_fn"
    BIAS, GRADIENTS = 5, 6

    def distillation_loss_fn(student_logits, teacher_logits, target=None, ignore_index=None, **kwargs):
        """The formula, which a subclass gives."""
        raise NotImplementedError("the class has no formula. Give it a distillation_loss_fn")

    @staticmethod
    def forward(
        cls, ctx, student_input, student_weight, teacher_input, teacher_weight, target, student_bias=None,
        teacher_bias=None, chunk_size=CHUNK_SIZE, ignore_index=-100, weight_hard_loss=0.5, weight_soft_loss=0.5,
        beta=0.5, compute_ce_loss=True, temperature=1.0, compiled=True, return_soft_hard_loss=False, accum_dtype=None,
        budget_bytes=None, **loss_kwargs,
    ):  # fmt: skip
        """The loss of the class `cls`; a subclass passes itself. loss_kwargs: further arguments of the formula.

        `compiled` has no effect. accum_dtype and budget_bytes: as for `liger_kernel.set_loss_memory`, for this loss.
        """
        assert temperature != 0, "temperature may not be 0"
        student = layer(student_input, student_weight, student_bias)
        teacher = layer(teacher_input, teacher_weight, teacher_bias)
        weights = float(weight_hard_loss) if compute_ce_loss else 0.0, float(weight_soft_loss)
        needs = wanted(student_input, student_weight, student_bias)
        options = kernel_options(cls.distillation_loss_fn, beta=beta, **loss_kwargs)
        if options is not None:
            # Whether it is returned or not: so the loss has the same bits, as sums of another kernel may not.
            has_hard = compute_ce_loss and target is not None
            bytes_each = bytes_of_exact_logits(student_weight) * len(student_weight) + 4 * len(teacher_weight)
            out = cls.compute(
                ctx, "fused_linear_distillation",
                student | {f"teacher_{name}": t for name, t in teacher.items()} | {"labels": labels(target)},
                hard_weight=weights[0], wants_hard=has_hard, soft_weight=weights[1],
                temperature=float(temperature), ignore_index=ignore_index, memory=(accum_dtype, budget_bytes),
                of_chunks=chunk_bytes(chunk_size, CHUNK_SIZE, bytes_each), wanted=needs, **options,
            )  # fmt: skip
            found = out["loss"], out["soft"], out["hard"] if "hard" in out else torch.zeros_like(out["soft"])
        else:
            exact = sums_exactly(accum_dtype, student["weight"])
            rows = RowsOfLogits(cls, student, teacher, needs, exact, ignore_index, float(temperature))
            bytes_each = 4 * (len(student_weight) + len(teacher_weight)) * math.prod(student_input.shape[1:-1])
            chunks = chunk_count(len(student_input), chunk_size, budget_bytes, bytes_each)
            wants_hard = weights[0] != 0 or (return_soft_hard_loss and compute_ce_loss)
            found = rows.run(target, chunks, weights, wants_hard, {"beta": beta, **loss_kwargs})
            ctx.own, ctx.count = rows, cls.GRADIENTS
            ctx.set_materialize_grads(False)
        if not return_soft_hard_loss:
            return found[0]
        ctx.mark_non_differentiable(*found[1:])
        return found

    @staticmethod
    @first_order
    def backward(ctx, *upstream):
        rows = getattr(ctx, "own", None)
        if rows is None:
            return FormulaFunction.backward(ctx, *upstream)
        upstream = upstream[0][0] if isinstance(upstream[0], tuple) else upstream[0]
        results = [None] * max(len(ctx.needs_input_grad), ctx.count)
        for name, place in (("input", 0), ("weight", 1), ("bias", LigerFusedLinearDistillationBase.BIAS)):
            results[place] = rows.gradient(name, upstream)
        return tuple(results)

    @staticmethod
    def chunk_forward(
        student_input_chunk, student_weight, teacher_input_chunk, teacher_weight, target_chunk, student_bias=None,
        teacher_bias=None, ignore_index=-100, compute_ce_loss=True,
    ):  # fmt: skip
        """(student's logits, teacher's, the sum of the labels' cross entropy) under autograd, the student's."""
        student = F.linear(student_input_chunk, student_weight, student_bias)
        with torch.no_grad():
            teacher = F.linear(teacher_input_chunk, teacher_weight, teacher_bias)
        if not compute_ce_loss:
            return student, teacher, 0.0
        rows, options = student.float().flatten(0, -2), {"ignore_index": ignore_index, "reduction": "sum"}
        return student, teacher, F.cross_entropy(rows, target_chunk.flatten(), **options)
