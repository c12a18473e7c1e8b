"""The experts of a layer as one function: rows in the order of their experts, and one gate between two products."""

import torch
import torch.nn.functional as F

from liger_kernel._operation import is_compiling
from liger_kernel._operation import is_tracing
from liger_kernel._operation import operation
from liger_kernel.ops._grouped_linear import TracedLinearByGroups
from liger_kernel.ops._grouped_linear import linear_by_groups
from liger_kernel.ops._primitive import PLAIN
from liger_kernel.ops._primitive import Function
from liger_kernel.ops._primitive import first_order
from liger_kernel.ops.swiglu import LigerSiLUMulFunction

_forward = operation("experts_forward")
_backward = operation("experts_backward")
_rows = operation("expert_rows")

# Rows of a block, which are all of one expert; and the most choices of a token that the kernels add.
_BLOCK, _MOST_CHOICES = 128, 16


class LigerFusedMoEFunction:
    """x: (.., H), gate_up_proj: (E, 2I, H), down_proj: (E, H, I), top_k_index and top_k_weights: (.., K).

    A composition of differentiable operations rather than one autograd Function; `apply` is how it is called.
    """

    @staticmethod
    def apply(x, gate_up_proj, down_proj, top_k_index, top_k_weights):
        return fused_experts(x, gate_up_proj, down_proj, top_k_index, top_k_weights)


def fused_experts(hidden_states, gate_up_proj, down_proj, top_k_index, top_k_weights):
    """The results of all experts of a layer, mixed; see `liger_kernel.transformers.experts.LigerExperts`."""
    width, choices = hidden_states.shape[-1], top_k_index.shape[-1]
    rows = hidden_states.reshape(-1, 1, width)
    weights = top_k_weights.reshape(-1, choices)
    expert = top_k_index.reshape(-1)
    if multiplies_in_kernels(hidden_states, gate_up_proj, down_proj) and fits_kernels(
        rows, gate_up_proj, down_proj, weights
    ):
        find = expert_rows if is_tracing() else rows_by_kernels
        placed = find(expert, gate_up_proj.shape[0])
        mixed = _Experts.apply(rows[:, 0], gate_up_proj, down_proj, weights, *placed)
        return mixed.reshape(hidden_states.shape)
    order = torch.argsort(expert, stable=True)
    counts = choices_of_each(expert, gate_up_proj.shape[0])
    sorted_rows = rows.expand(-1, choices, width).reshape(-1, width)[order]
    gate, up = grouped_linear(sorted_rows, gate_up_proj, counts).chunk(2, dim=-1)
    results = grouped_linear(LigerSiLUMulFunction.apply(gate, up), down_proj, counts)
    results = results[torch.argsort(order)].reshape(-1, choices, width)
    # The results of experts that live elsewhere are zero; their weights may be anything.
    here = (expert < gate_up_proj.shape[0]).reshape(-1, choices)
    mixed = (results.float() * (weights.float() * here).unsqueeze(-1)).sum(dim=1)
    return mixed.to(hidden_states.dtype).reshape(hidden_states.shape)


def choices_of_each(expert, experts):
    """How many choices each expert here has."""
    if not is_compiling():
        return torch.bincount(expert, minlength=experts)[:experts]
    # To a compiler the size of bincount's result is unknown.
    counts = torch.zeros(experts + 1, dtype=torch.int64, device=expert.device)
    return counts.index_add(0, expert.clamp(max=experts), torch.ones_like(expert, dtype=torch.int64))[:experts]


class _Experts(Function):
    """All experts' results, mixed, by the library's products of rows with matrices of their own."""

    @staticmethod
    def forward(ctx, x, gate_up, down, weights, *placed):
        y, gates = _forward(x, gate_up, down, weights, *placed, any(ctx.needs_input_grad[:4]))
        ctx.save_for_backward(x, gates, gate_up, down, weights, *placed)
        return y

    @staticmethod
    @first_order
    def backward(ctx, dy):
        needs = sum(1 << i for i, needed in enumerate(ctx.needs_input_grad[:4]) if needed)
        return *_backward(dy, *ctx.saved_tensors, needs), *[None] * 5


def multiplies_in_kernels(x, *weights):
    """Whether kernels of the library multiply on this device: compute capability 9.0, and one type of 16 bits."""
    if x.device.type != "cuda" or torch.version.hip or x.dtype not in (torch.bfloat16, torch.float16):
        return False
    device = torch.cuda.get_device_properties(x.device)
    return (device.major, device.minor) == (9, 0) and all(w.dtype == x.dtype for w in weights)


def fits_kernels(rows, gate_up, down, weights):
    """Whether sizes and memory are such as the kernels take: rows of 16 bytes' multiples, and whole blocks of them."""
    if not all(type(each) in PLAIN for each in (rows, gate_up, down, weights)):
        return False
    if not all(each.is_contiguous() for each in (gate_up, down)):
        return False
    # While torch.compile traces nothing is known of addresses.
    if not is_tracing() and any(each.storage_offset() % 8 for each in (gate_up, down)):
        return False
    experts, hidden, inner = down.shape
    sizes = hidden % _BLOCK == 0 and inner % 64 == 0 and gate_up.shape == (experts, 2 * inner, hidden)
    return sizes and experts > 0 and rows.shape[0] > 0 and 0 < weights.shape[-1] <= _MOST_CHOICES


def expert_rows(expert, experts):
    """Rows for choices of experts, those of each expert from a multiple of a block on, all found on the device.

    int32 tensors: the row of each choice, -1 where its expert is not here; the choice of each row, -1 where it has
    none; the expert of each block; the first block of each expert, and the first of none; how many rows blocks have.
    """
    choices, device = expert.numel(), expert.device
    capacity = _capacity(choices, experts)
    short = torch.int16 if experts < 1 << 15 else torch.int32
    by_expert, order = torch.sort(expert.clamp(-1, experts).to(short), stable=True)
    bounds = torch.searchsorted(by_expert, torch.arange(experts + 1, device=device, dtype=short))
    starts = F.pad(((bounds.diff() + (_BLOCK - 1)) // _BLOCK).cumsum(0), (1, 0))
    shift = starts * _BLOCK - bounds
    row = torch.arange(choices, device=device) + shift[by_expert.clamp(0, experts - 1).long()]
    is_away = (by_expert < 0) | (by_expert >= experts)
    place = torch.empty_like(order).scatter_(0, order, row.masked_fill(is_away, -1))
    # Choices of experts elsewhere meet in one row that is cut off.
    source = torch.full((capacity + 1,), -1, device=device, dtype=order.dtype)
    source = source.scatter_(0, row.masked_fill(is_away, capacity), order)[:capacity]
    blocks = torch.arange(capacity // _BLOCK, device=device)
    of_block = torch.searchsorted(starts[1:], blocks, right=True).clamp_(max=experts - 1)
    return tuple(each.to(torch.int32) for each in (place, source, of_block, starts, starts[-1:] * _BLOCK))


def rows_by_kernels(expert, experts):
    """The same by the library's kernels, six launches in the place of some 35."""
    capacity = _capacity(expert.numel(), experts)
    return _rows(expert.to(torch.int32).contiguous(), capacity, capacity // _BLOCK, experts + 1)


def _capacity(choices, experts):
    return (choices + min(choices, experts) * (_BLOCK - 1)) // _BLOCK * _BLOCK


class _ZeroGradientBeyond(torch.autograd.Function):
    """Rows as they are; the gradient of those beyond the first `count` is zero, whatever comes back for them."""

    generate_vmap_rule = True

    @staticmethod
    def forward(rows, count):
        return rows.view_as(rows)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(inputs[1])

    @staticmethod
    def backward(ctx, gradient):
        (count,) = ctx.saved_tensors
        return zero_beyond(gradient, count), None


def zero_beyond(rows: torch.Tensor, count: torch.Tensor) -> torch.Tensor:
    """Rows from `count` on, a number on the device, as zeros. What was in them may be anything, NaN too."""
    is_beyond = torch.arange(rows.shape[0], device=rows.device) >= count
    return rows.masked_fill(is_beyond.unsqueeze(-1), 0)


def grouped_linear(rows: torch.Tensor, weight: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """rows weight_e^T, where the first `counts[0]` rows belong to expert 0 and so on; rows beyond are zero."""
    if uses_grouped_product(rows, weight):
        ends = counts.cumsum(0).to(torch.int32)
        # Grouped products leave rows beyond the last group as they found them: here the result's, and in the
        # backward pass, where another one makes it, the gradient's.
        rows = _ZeroGradientBeyond.apply(rows, ends[-1])
        return zero_beyond(F.grouped_mm(rows, weight.transpose(-2, -1), offs=ends), ends[-1])
    return (TracedLinearByGroups.of if is_compiling() else linear_by_groups)(rows, weight, counts)


def uses_grouped_product(rows: torch.Tensor, weight: torch.Tensor) -> bool:
    """The grouped product wants rows of 16 bytes' multiples and one type; it never reads sizes back to the host."""
    if not hasattr(F, "grouped_mm") or rows.device.type != "cuda" or rows.dtype != weight.dtype:
        return False
    return rows.dtype == torch.bfloat16 and rows.shape[-1] % 8 == 0 and weight.shape[1] % 8 == 0


def compute_routing_metadata(topk_indices, E, block_m_token=64):
    """How tokens' choices of experts (T, K) fall into rows by expert: a tuple of int32 tensors.

    Rows of each expert (E); where each begins (E + 1); the token of each row (T K); the row's place among the choices,
    t K + k (T K); the row of each choice (T K); and for tiles of `block_m_token` rows, none across two experts, the
    first row and the expert of each. The number of tiles is read back to the host.
    """
    expert = topk_indices.reshape(-1).long()
    order = torch.argsort(expert, stable=True)
    counts = torch.bincount(expert, minlength=E)
    starts = F.pad(counts.cumsum(0), (1, 0))
    tiles = -(-counts // block_m_token)
    tile_expert = torch.repeat_interleave(torch.arange(E, device=expert.device), tiles)
    within = torch.arange(tile_expert.shape[0], device=expert.device) - F.pad(tiles.cumsum(0), (1, 0))[tile_expert]
    tile_start = starts[tile_expert] + within * block_m_token
    choices = topk_indices.shape[-1]
    results = counts, starts, order // choices, order, torch.argsort(order), tile_start, tile_expert
    return tuple(each.to(torch.int32) for each in results)
