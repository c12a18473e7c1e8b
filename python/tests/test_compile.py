"""torch.compile without graph breaks, for every operation, forward and backward."""

import pytest
import torch

from conftest import random

from liger_kernel import ops
from liger_kernel.ops import LigerFusedGateUpSiLUMulFunction
from liger_kernel.ops import _primitive
from liger_kernel.transformers import functional
from liger_kernel.transformers.experimental.embedding import LigerEmbeddingFunction
from liger_kernel.transformers.functional import liger_cross_entropy
from liger_kernel.transformers.functional import liger_dyt
from liger_kernel.transformers.functional import liger_fused_add_rms_norm
from liger_kernel.transformers.functional import liger_fused_linear_cross_entropy
from liger_kernel.transformers.functional import liger_geglu
from liger_kernel.transformers.functional import liger_group_norm
from liger_kernel.transformers.functional import liger_jsd
from liger_kernel.transformers.functional import liger_kl_div
from liger_kernel.transformers.functional import liger_layer_norm
from liger_kernel.transformers.functional import liger_qwen2vl_mrope
from liger_kernel.transformers.functional import liger_relu_squared
from liger_kernel.transformers.functional import liger_rms_norm
from liger_kernel.transformers.functional import liger_rope
from liger_kernel.transformers.functional import liger_softmax
from liger_kernel.transformers.functional import liger_swiglu
from liger_kernel.transformers.functional import liger_tvd

TARGET = torch.tensor([1, -100, 3, 0])

CASES = {
    "rms_norm": (lambda x, w: liger_rms_norm(x, w, 1e-6), [(4, 8), (8,)]),
    "rms_norm_without_weight": (lambda x: liger_rms_norm(x, None, 1e-6), [(4, 8)]),
    "layer_norm": (lambda x, w, b: liger_layer_norm(x, w, b, 1e-6), [(4, 8), (8,), (8,)]),
    "swiglu": (liger_swiglu, [(4, 8), (4, 8)]),
    "swiglu_of_halves": (LigerFusedGateUpSiLUMulFunction.apply, [(4, 8)]),
    "geglu": (liger_geglu, [(4, 8), (4, 8)]),
    "softmax": (liger_softmax, [(4, 8)]),
    "rope": (
        lambda q, k, c, s: torch.cat([t.flatten() for t in liger_rope(q, k, c.detach(), s.detach())]),
        [(1, 2, 4, 8), (1, 1, 4, 8), (1, 4, 8), (1, 4, 8)],
    ),
    "embedding": (lambda t: LigerEmbeddingFunction.apply(t, torch.tensor([1, 3, 1])), [(5, 8)]),
    "fused_add_rms_norm": (
        lambda x, r, w: sum(t.sum(-1) for t in liger_fused_add_rms_norm(x, r, w, 1e-6)), [(4, 8), (4, 8), (8,)],
    ),
    "group_norm": (lambda x, w, b: liger_group_norm(x, w, b, 4, 2, 1e-6), [(2, 4, 3), (4,), (4,)]),
    "dyt": (liger_dyt, [(4, 8), (1,), (8,), (8,)]),
    "relu_squared": (liger_relu_squared, [(4, 8)]),
    "multimodal_rope": (
        lambda q, k, c: torch.cat(
            [t.flatten() for t in liger_qwen2vl_mrope(q, k, c.detach(), c.detach(), [1, 1, 2])]
        ),
        [(1, 2, 4, 8), (1, 1, 4, 8), (3, 1, 4, 8)],
    ),
    "kl_div": (lambda x: liger_kl_div(x, x.detach().exp() / 2), [(4, 8)]),
    "kl_div_none": (lambda x: liger_kl_div(x, x.detach().exp() / 2, reduction="none"), [(4, 8)]),
    "jsd": (lambda x: liger_jsd(x, x.detach() / 2), [(4, 8)]),
    "tvd": (lambda x: liger_tvd(x, x.detach() / 2), [(4, 8)]),
    "cross_entropy": (lambda x: liger_cross_entropy(x, TARGET.to(x.device), lse_square_scale=0.1), [(4, 8)]),
    "cross_entropy_none": (lambda x: liger_cross_entropy(x, TARGET.to(x.device), reduction="none"), [(4, 8)]),
    "fused_linear_cross_entropy": (
        lambda x, w, b: liger_fused_linear_cross_entropy(x, w, TARGET.to(x.device), b), [(4, 6), (8, 6), (8,)],
    ),
    "fused_linear_cross_entropy_none": (
        lambda x, w: liger_fused_linear_cross_entropy(x, w, TARGET.to(x.device), reduction="none"), [(4, 6), (8, 6)],
    ),
}  # fmt: skip


# In fp16 their gradients have scales beside them.
LOSSES = [name for name in CASES if "entropy" in name or name in ("kl_div", "kl_div_none", "jsd", "tvd")]


@pytest.mark.parametrize(
    "name, dtype", [(name, torch.float32) for name in CASES] + [(name, torch.float16) for name in LOSSES]
)
def test_fullgraph(device, name, dtype):
    function, shapes = CASES[name]
    inputs = [random(*shape, device=device, dtype=dtype) for shape in shapes]
    if name == "embedding" and device != "cpu":
        pytest.skip("its ids are on the CPU")

    def run(f):
        for tensor in inputs:
            tensor.grad = None
        y = f(*inputs) * 1.5
        y.backward(torch.linspace(0.5, 1, y.numel(), device=device, dtype=y.dtype).view(y.shape))
        return [y.detach()] + [None if t.grad is None else t.grad.clone() for t in inputs]

    torch._dynamo.reset()
    eager, compiled = run(function), run(torch.compile(function, fullgraph=True, backend="aot_eager"))
    for a, b in zip(eager, compiled):
        assert (a is None) == (b is None)
        assert a is None or torch.allclose(a, b, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_loss_is_converted_only_where_its_type_changes(monkeypatch, dtype):
    """Else torch 2.11 compiles it to a constant, as test_fullgraph finds there."""
    converted, to = [], torch.Tensor.to
    x, target = random(4, 8, dtype=dtype), random(4, 8, dtype=dtype, grad=False)
    with monkeypatch.context() as patch:
        patch.setattr(torch.Tensor, "to", lambda tensor, kind: converted.append(kind) or to(tensor, kind))
        loss = liger_jsd(x, target)
    assert loss.dtype == dtype and converted == ([] if dtype == torch.float32 else [dtype])


def test_without_gradients(device):
    x, w = random(4, 8, device=device), random(8, device=device)
    with torch.no_grad():
        compiled = torch.compile(lambda x, w: liger_rms_norm(x, w, 1e-6), fullgraph=True, backend="aot_eager")
        assert torch.equal(compiled(x, w), liger_rms_norm(x, w, 1e-6))


def test_dynamic_shapes(device):
    compiled = torch.compile(liger_swiglu, fullgraph=True, backend="aot_eager", dynamic=True)
    for rows in (2, 5, 9):
        a, b = random(rows, 8, device=device), random(rows, 8, device=device)
        assert torch.equal(compiled(a, b), liger_swiglu(a, b))


OLD_COMPILER = not _primitive._READS_APPLY


@pytest.mark.parametrize("dynamic", [None, True])
def test_shapes_that_change_under_several_operations(device, dynamic):
    """With `dynamic=True` an epsilon is a number that varies, in whichever operation comes first."""
    if dynamic and OLD_COMPILER:
        pytest.skip("this torch needs specialize_float")
    w = random(8, device=device)

    def two(x):
        return liger_swiglu(liger_rms_norm(liger_rms_norm(x, w, 1e-6), w, 1e-6), x)

    check_changing(two, [(rows,) for rows in (2, 5)], dynamic, device)


def ones(x):
    return torch.ones(x.shape[0], dtype=torch.int64, device=x.device)


# A kind of operation with numbers among its options each, left out or not: of rows of 8 and a number from 0 to 1.
OF_NUMBERS = {
    "rms_norm": lambda x, a: liger_rms_norm(x, x[0], a, a),
    "mlp": lambda x, a: ops.LigerMLPFunction.apply(x, x[:4], x[1:5], x[:4].t().contiguous()),
    "jsd": lambda x, a: liger_jsd(x.log_softmax(-1), (x.detach() * 2).log_softmax(-1), None, a),
    "cross_entropy": lambda x, a: liger_cross_entropy(
        x, ones(x), label_smoothing=a, lse_square_scale=a, softcap=30 * a
    ),
    "fused_linear_cross_entropy": lambda x, a: liger_fused_linear_cross_entropy(
        x, x[:3], ones(x), label_smoothing=a, lse_square_scale=a, softcap=30 * a
    ),
}


@pytest.mark.parametrize("name", OF_NUMBERS)
def test_numbers_that_change_under_several_operations(device, name):
    if OLD_COMPILER:
        pytest.skip("this torch needs specialize_float")
    function = OF_NUMBERS[name]

    def two(x, a):
        return function(x, a).sum() + 2 * function(x * 1.5, a).sum()

    check_changing(two, [(6, 0.1), (7, 0.2)], True, device)


def check_changing(function, cases, dynamic, device):
    """That a compiled function of rows, and maybe a number, has the values and gradients of the plain one."""
    torch._dynamo.reset()
    compiled = torch.compile(function, fullgraph=True, backend="aot_eager", dynamic=dynamic)
    for rows, *number in cases:
        x = random(rows, 8, device=device)
        results = [f(x, *number) for f in (function, compiled)]
        gradients = [torch.autograd.grad(y.sum(), x)[0] for y in results]
        assert torch.allclose(*results, rtol=1e-6, atol=1e-6) and torch.allclose(*gradients, rtol=1e-5, atol=1e-6)
    torch._dynamo.reset()


def test_a_missing_argument_is_missed_when_compiled():
    compiled = torch.compile(lambda x: ops.LigerRMSNormFunction.apply(x, None), backend="aot_eager")
    with pytest.raises(Exception, match="eps"):
        compiled(random(2, 8))
