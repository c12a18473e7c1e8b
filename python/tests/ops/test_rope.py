"""Rotary position embedding against the formula in float64, over the layouts that models hand in."""

import pytest
import torch

from conftest import check_close
from conftest import check_function
from conftest import random

from liger_kernel.ops.llama4_rope import LigerLlama4RopeFunction
from liger_kernel.transformers.functional import liger_rope
from liger_kernel.transformers.qwen2vl_mrope import liger_multimodal_rotary_pos_emb
from liger_kernel.transformers.rope import liger_rotary_pos_emb
from liger_kernel.transformers.rope import liger_rotary_pos_emb_gpt_oss
from liger_kernel.transformers.rope import liger_rotary_pos_emb_vision


def rotated(x, cos, sin):
    """cos, sin: (B or 1, S, rd / 2), in x's type; dimensions beyond rd are kept."""
    half = cos.shape[-1]
    c, s = cos.unsqueeze(1), sin.unsqueeze(1)
    a, b, rest = x[..., :half], x[..., half : 2 * half], x[..., 2 * half :]
    return torch.cat((a * c - b * s, b * c + a * s, rest), -1)


def tables(batch, length, width, dtype, device):
    """Angles of random positions, in both halves as Hugging Face's."""
    angles = torch.rand(batch, length, width // 2, device=device) * 6
    return [f(torch.cat((angles, angles), -1)).to(dtype) for f in (torch.cos, torch.sin)]


def heads(batch, count, length, size, dtype, device, transposed=True):
    """Queries or keys, in memory as a projection leaves them (transposed) or side by side."""
    shape = (batch, length, count, size) if transposed else (batch, count, length, size)
    x = random(*shape, device=device, dtype=dtype, grad=False)
    return (x.transpose(1, 2) if transposed else x).requires_grad_()


@pytest.mark.parametrize("length, size", [(1, 2), (7, 16), (33, 64), (5, 130)])
@pytest.mark.parametrize("tables_batch", [1, 3])
@pytest.mark.parametrize("transposed", [True, False])
def test_rope(device, dtype, length, size, tables_batch, transposed):
    cos, sin = tables(tables_batch, length, size, dtype, device)
    q, k = heads(3, 4, length, size, dtype, device, transposed), heads(3, 2, length, size, dtype, device, transposed)
    half = size // 2

    def reference(q, k):
        c, s = cos[..., :half].double(), sin[..., :half].double()
        return rotated(q, c, s), rotated(k, c, s)

    check_function(lambda q, k: liger_rope(q, k, cos, sin), reference, [q, k], dtype)


@pytest.mark.parametrize("form", ["2-D", "4-D", "expanded", "sliced"])
def test_rope_takes_tables_of_any_form(device, form):
    cos, sin = tables(1, 6, 8, torch.float32, device)
    expected_tables = cos[..., :4].double(), sin[..., :4].double()
    change = {
        "2-D": lambda t: t[0],
        "4-D": lambda t: t.unsqueeze(1),
        "expanded": lambda t: t.expand(3, 6, 8),
        "sliced": lambda t: torch.stack((t, t), -1)[..., 0],
    }[form]
    q, k = heads(3, 2, 6, 8, torch.float32, device), heads(3, 1, 6, 8, torch.float32, device)
    yq, yk = liger_rotary_pos_emb(q, k, change(cos), change(sin))
    check_close(yq, rotated(q.double(), *expected_tables), torch.float32)
    check_close(yk, rotated(k.double(), *expected_tables), torch.float32)


def test_partial_rotation(device):
    cos, sin = tables(1, 6, 8, torch.float32, device)
    q, k = heads(2, 2, 6, 20, torch.float32, device), heads(2, 1, 6, 20, torch.float32, device)
    for given, rotary_dim in ((None, 8), (4, 4)):
        half = rotary_dim // 2
        expected = rotated(q.double(), cos[..., :half].double(), sin[..., :half].double())
        check_close(liger_rotary_pos_emb(q, k, cos, sin, rotary_dim=given)[0], expected, torch.float32)
    for wrong in (3, 0, 22, 18):
        with pytest.raises(ValueError, match="rotary_dim"):
            liger_rotary_pos_emb(q, k, cos, sin, rotary_dim=wrong)
    with pytest.raises(ValueError, match="cos has shape"):
        liger_rotary_pos_emb(q, k, cos[:, :5], sin[:, :5])


def test_tables_of_another_type_than_the_heads(device):
    cos, sin = tables(1, 6, 8, torch.float32, device)
    q, k = heads(2, 2, 6, 8, torch.bfloat16, device), heads(2, 1, 6, 8, torch.bfloat16, device)
    yq, _ = liger_rotary_pos_emb(q, k, cos, sin)
    assert yq.dtype == torch.bfloat16
    check_close(yq, rotated(q.double(), cos[..., :4].double(), sin[..., :4].double()), torch.bfloat16, roundings=0.6)


def test_inputs_stay_as_they_are_and_one_may_be_frozen(device):
    cos, sin = tables(1, 6, 8, torch.float32, device)
    q, k = heads(1, 2, 6, 8, torch.float32, device), heads(1, 1, 6, 8, torch.float32, device).detach()
    before = q.detach().clone()
    yq, yk = liger_rotary_pos_emb(q, k, cos, sin)
    assert torch.equal(q, before)
    yq.sum().backward()
    ones = torch.ones_like(q).double()
    check_close(q.grad, rotated(ones, cos[..., :4].double(), -sin[..., :4].double()), torch.float32)


def test_other_signatures(device):
    cos, sin = tables(1, 6, 8, torch.float32, device)
    half = cos[..., :4].double(), sin[..., :4].double()
    q, k = heads(1, 2, 6, 8, torch.float32, device), heads(1, 2, 6, 8, torch.float32, device)
    yq, _ = liger_rotary_pos_emb_gpt_oss(q, k, cos[..., :4], sin[..., :4])
    check_close(yq, rotated(q.double(), *half), torch.float32)
    flat_q, flat_k = q[0].transpose(0, 1), k[0].transpose(0, 1)
    yq, yk = liger_rotary_pos_emb_vision(flat_q, flat_k, cos[0], sin[0])
    assert yq.shape == flat_q.shape and yk.shape == flat_k.shape
    check_close(yq, rotated(q.double(), *half)[0].transpose(0, 1), torch.float32)


def multimodal(q, k, cos, sin, **options):
    planes = (table.expand(3, -1, -1, -1) for table in (cos, sin))
    return liger_multimodal_rotary_pos_emb(q, k, *planes, [1, 1, 2], **options)


@pytest.mark.parametrize("count", [4, 6])
@pytest.mark.parametrize("rotate", [liger_rotary_pos_emb, liger_rope, multimodal])
def test_heads_behind_the_sequence(device, rotate, count):
    """As transformers' functions take them; as many heads as tokens look alike."""
    cos, sin = tables(2, 6, 8, torch.float32, device)
    q, k = (random(2, 6, heads, 8, device=device) for heads in (count, 2))
    upstream = [random(*x.shape, device=device, grad=False) for x in (q, k)]
    expected = [y.transpose(1, 2) for y in rotate(q.transpose(1, 2), k.transpose(1, 2), cos, sin)]
    for dim in (2, -2):
        found = rotate(q, k, cos, sin, unsqueeze_dim=dim)
        assert all(map(torch.equal, found, expected))
        gradients = [torch.autograd.grad(y, (q, k), upstream, retain_graph=True) for y in (found, expected)]
        assert all(map(torch.equal, *gradients))


def complex_numbers(q, k, cos, sin):
    numbers = torch.complex(cos[0, :, :4], sin[0, :, :4])
    return LigerLlama4RopeFunction.apply(q.transpose(1, 2), k.transpose(1, 2), numbers)


@pytest.mark.parametrize("learned", ["cos", "sin"])
@pytest.mark.parametrize("rotate", [liger_rotary_pos_emb, liger_rope, multimodal, complex_numbers])
def test_learned_tables_are_refused(device, rotate, learned):
    """They would have no gradient, and nobody would know."""
    cos, sin = tables(1, 6, 8, torch.float32, device)
    q, k = heads(1, 2, 6, 8, torch.float32, device), heads(1, 2, 6, 8, torch.float32, device)
    {"cos": cos, "sin": sin}[learned].requires_grad_()
    with pytest.raises(NotImplementedError, match="need gradients, which liger_kernel's rotary embeddings do not give"):
        rotate(q, k, cos, sin)
    with torch.no_grad():
        rotate(q, k, cos, sin)


def test_a_patched_model_rotates_by_learned_tables_itself(device):
    modeling = pytest.importorskip("transformers.models.llama.modeling_llama")
    from liger_kernel.transformers.leaves import with_original

    original = getattr(modeling.apply_rotary_pos_emb, "liger_original", modeling.apply_rotary_pos_emb)
    tables_of_both = [t.requires_grad_() for t in tables(1, 6, 8, torch.float32, device)]
    q, k = heads(1, 2, 6, 8, torch.float32, device), heads(1, 2, 6, 8, torch.float32, device)
    gradients = [
        torch.autograd.grad(rotate(q, k, *tables_of_both)[0].square().sum() + 0, (q, *tables_of_both))
        for rotate in (original, with_original(liger_rotary_pos_emb, original))
    ]
    assert all(map(torch.equal, *gradients)) and gradients[0][1].any()
