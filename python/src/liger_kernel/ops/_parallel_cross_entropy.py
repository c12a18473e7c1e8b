"""Cross entropy of a linear layer whose classes are spread over the ranks of a group, with its gradients.

Tokens go chunk by chunk through steps of the library, and between these ranks tell each other some numbers of each
token: logits never leave a rank, and none is made again in the backward pass.
"""

import torch
import torch.distributed as dist

from liger_kernel._call import call
from liger_kernel.ops._linear_loss import UntracedFunction
from liger_kernel.ops._memory import budget
from liger_kernel.ops._memory import sums_exactly
from liger_kernel.ops._primitive import first_order
from liger_kernel.ops.cross_entropy import scale_
from liger_kernel.ops.fused_moe import multiplies_in_kernels

_INPUT, _WEIGHT = 1, 2
# Tokens beyond which a chunk is no faster: the weight's sums are read and written for each.
_LONGEST = 3840


def suits(input, weight):
    """Whether `ParallelLinearCrossEntropy` takes these, which is the same on all ranks.

    On a GPU where kernels of the library multiply, in bf16, rows of 16 bytes' multiples; on the CPU in fp32.
    """
    if input.device.type == "cpu":
        return input.dtype == weight.dtype == torch.float32
    is_even = input.shape[-1] % 8 == 0 and weight.shape[0] % 8 == 0
    return is_even and input.dtype == torch.bfloat16 and multiplies_in_kernels(input, weight)


class ParallelLinearCrossEntropy(UntracedFunction):
    """The sum over tokens of -log softmax(input @ weight.T)[target] / normaliser; 0 where it is `ignore_index`.

    input: (N, H) and target: (N), of classes of all ranks, the same on all. weight: (V / ranks, H) on each, in the order
    of ranks. normaliser: one number. Gives an fp32 scalar, the same on all ranks. The input's gradient is summed over
    ranks in fp32, the weight's is of the rank's own rows.
    """

    @staticmethod
    def forward(ctx, input, weight, target, normaliser, ignore_index, group):
        tensors = [_aligned(input), _aligned(weight), target.contiguous(), normaliser.float().reshape(1)]
        ctx.save_for_backward(*tensors)
        ctx.options = ignore_index, group
        loss, ctx.gradients = _loss_and_gradients(*tensors, *ctx.options, ctx.needs_input_grad[:2])
        return loss

    @staticmethod
    @first_order
    def backward(ctx, upstream):
        # Gradients are handed over once; a second pass through a retained graph computes them again.
        gradients, ctx.gradients = ctx.gradients, None
        if gradients is None:
            needed = ctx.needs_input_grad[:2]
            gradients = _loss_and_gradients(*ctx.saved_tensors, *ctx.options, needed)[1]
        by_input, by_weight = (g if g is None else scale_(g, upstream) for g in gradients)
        dtype = ctx.saved_tensors[0].dtype
        return by_input if by_input is None else by_input.to(dtype), by_weight, *(None,) * 4


def _aligned(tensor):
    """Contiguous, and at an address that kernels copy 16 bytes from."""
    tensor = tensor.detach().contiguous()
    return tensor.clone() if tensor.data_ptr() % 16 else tensor


def _loss_and_gradients(input, weight, target, normaliser, ignore_index, group, needed):
    """The loss, and the gradients of input (fp32) and weight, None where not needed."""
    (tokens, hidden), classes = input.shape, weight.shape[0]
    needs_input, needs_weight = needed
    rows = _chunk_rows(tokens, classes, hidden, weight, needs_weight)
    sums = None
    if needs_weight and rows < tokens:
        dtype = torch.float32 if sums_exactly(None, weight) else weight.dtype
        sums = torch.empty(weight.shape, dtype=dtype, device=weight.device)
    losses, by_input, by_weight = [], [], None
    for start in range(0, tokens, rows):
        chunk = _Chunk(input[start : start + rows], weight, target[start : start + rows], ignore_index, group)
        out = chunk.gradients(
            normaliser, sums, accumulates=start > 0, needs=_INPUT * needs_input | _WEIGHT * needs_weight
        )
        losses.append(out["losses"])
        by_input.append(out.get("dinput"))
        by_weight = out.get("dweight")
    if needs_input:
        by_input = by_input[0] if len(by_input) == 1 else torch.cat(by_input)
        dist.all_reduce(by_input, group=group)
    if sums is not None:
        by_weight = sums.to(weight.dtype)
    return torch.cat(losses).sum(), (by_input if needs_input else None, by_weight)


def _chunk_rows(tokens, classes, hidden, weight, needs_weight):
    """Tokens of a chunk: all, where that takes no more memory than the sums that several need, else a budget's."""
    each = classes * weight.element_size()
    usual = 640 << 20 if weight.is_cuda else 48 << 20
    held = max(1, (budget(None) or usual) // each)
    several = min(held, _LONGEST, tokens)
    separates = needs_weight and weight.element_size() < 4 and sums_exactly(None, weight)
    is_one = tokens <= held or (separates and tokens * each <= several * each + 4 * classes * hidden)
    # As many in each, and in whole tiles of a product where they are many.
    count = 1 if is_one and budget(None) is None else -(-tokens // several)
    even = -(-tokens // count)
    return even if count == 1 or even < 512 else min(-(-even // 128) * 128, several)


class _Chunk:
    """Some tokens' exponentials of this rank's classes, after all ranks know of rows that overflow."""

    def __init__(self, input, weight, target, ignore_index, group):
        rank, self.group = dist.get_rank(group), group
        self.layer = {"input": input, "weight": weight, "labels": target}
        self.options = {"first_class": rank * weight.shape[0], "ignore_index": ignore_index}
        self.classes = weight.shape[0] * dist.get_world_size(group)
        logits = self._step("class_label_logits")["logits"]
        self.found = self._step("class_exponentials", label_logits=self._of_all(logits), classes=self.classes)
        self._step("class_exponentials_repeated", **self.found, found=self._of_all(self.found["numbers"]))

    def gradients(self, normaliser, sums, **options):
        """What the library gives: losses, dinput, and dweight unless it is added to sums."""
        numbers = self._of_all(self.found.pop("numbers"))
        return self._step(
            "class_exponential_gradients", found=numbers, **self.found, normaliser=normaliser, weight_sums=sums,
            classes=self.classes, **options,
        )  # fmt: skip

    def _step(self, name, **given):
        tensors = {key: each for key, each in given.items() if isinstance(each, torch.Tensor)}
        options = {key: each for key, each in given.items() if not isinstance(each, torch.Tensor)}
        return call(name, self.layer | tensors, **self.options, **options)

    def _of_all(self, own):
        """What each rank has, by rank."""
        count = dist.get_world_size(self.group)
        # Flat, as gloo takes no new dimension of one rank.
        found = own.new_empty(count * own.numel())
        # The newer name where torch has it, which warns of the older.
        gather = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor
        gather(found, own.reshape(-1), group=self.group)
        return found.view(count, *own.shape)
