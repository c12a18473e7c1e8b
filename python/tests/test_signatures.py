"""What Python makes of the library's signatures: functions, torch's operators, and the shapes that a compiler sees."""

import concurrent.futures
import json
import threading
import types

import pytest
import torch

from conftest import random
from processes import forked
from torch._subclasses.fake_tensor import FakeTensorMode

import liger_kernel.float8  # noqa: F401, that operations are known
import liger_kernel.ops  # noqa: F401

from liger_kernel import _library
from liger_kernel import _operation
from liger_kernel import _signature

NAMES = sorted(_operation._functions)


def test_functions_are_of_operations():
    assert set(NAMES) <= set(_signature.declared())
    assert not any(each.is_written for name in NAMES for each in _signature.signature(name).inputs)


def labels(*shape, classes=4):
    return torch.randint(classes, shape)


def cases():
    """Operations' names and arguments, of every operation."""
    chosen = list(chosen_cases())
    for name in sorted(set(NAMES) - {name for name, *_ in chosen}):
        yield name, *(random(3, 2, 8) for _ in _signature.signature(name).inputs)
    yield from chosen


def chosen_cases():
    """With and without what may be left out; of operations that take more than arrays of one shape."""
    yield from norms()
    yield from activations_and_rows()
    yield from attention_and_streams()
    yield from rotations_and_tables()
    yield from losses()
    yield from experts()
    yield from matrices_of_8_bits()


def norms():
    x, y, w, rows = random(3, 2, 8), random(3, 2, 8), random(8), torch.ones(6)
    image, of_groups = random(2, 4, 3), torch.ones(2, 2)
    for weight in (w, None):
        yield "rms_norm_forward", x, weight
        yield "rms_norm_forward", x, weight, 1e-6, 0.0, "gemma", False
        yield "fused_add_rms_norm_forward", x, y, weight
        yield "layer_norm_forward", x, weight, weight, 1e-6
        for needs in (True, False):
            yield "rms_norm_backward", y, x, weight, rows, 0.0, "llama", needs
            yield "fused_add_rms_norm_backward", y, None, x, weight, rows, 0.0, "llama", needs
            yield "layer_norm_backward", y, x, weight, rows, rows, needs, True
            yield "layer_norm_backward", y, x, weight, rows, rows, True, needs
            yield "dyt_backward", y, x, random(1), w, weight, needs
        yield "dyt_forward", x, random(1), w, weight
        for shift in (random(2, 8), None):
            yield "modulated_rms_norm_forward", x, weight, random(2, 8), shift
            for needs in ((True, True), (True, False), (False, True)):
                gradients = y, x, weight, random(2, 8), shift, rows, 0.0, "llama", *needs
                yield "modulated_rms_norm_backward", *gradients
    yield "rms_norm_forward", x[:, :, ::2].bfloat16(), w[::2]
    yield "poly_norm_forward", x, random(3), random(1), 1e-6
    for needs in (True, False):
        yield "poly_norm_backward", y, x, random(3), torch.ones(()) if needs else random(1), torch.ones(6, 3), needs
    yield "group_norm_forward", image, random(4), random(4), 2, 1e-6
    yield "group_norm_backward", image, image, random(4), of_groups, of_groups, 2


def activations_and_rows():
    x, y = random(3, 2, 8), random(3, 2, 8)
    yield "swiglu_forward", x, y, 1.5, 1.0
    yield "swiglu_gate_up_forward", x
    yield "swiglu_gate_up_backward", random(3, 2, 4), x
    yield "softmax_forward", x.half()
    yield "softmax_forward", random(2, 3, 3), True
    yield "softmax_backward", random(2, 3, 3), random(2, 3, 3).softmax(-1), True
    yield "scaled_rows", x, torch.tensor(2.0)
    yield "scaled_entries", x, y


def attention_and_streams():
    x, w, rows = random(3, 2, 8), random(8), torch.ones(6)
    blocks, query, of_blocks = random(3, 6, 8), random(8), torch.ones(3, 6)
    yield "attention_residual_forward", blocks, query, query, 1e-6
    for needs in (True, False):
        dy = x[0, 0].expand(6, 8)
        yield "attention_residual_backward", dy, blocks, query, query, of_blocks, of_blocks, rows, needs
    window, numbers = (3, 2, 0.5), [random(1) for _ in range(3)]
    queries = [random(2, 3, 5, 8) for _ in range(3)]
    yield "neighborhood_attention_forward", *queries, *window
    yield "neighborhood_attention_backward", queries[0], *queries, queries[0], torch.ones(2, 3, 5), *window
    streams, row, square, mix = random(6, 2, 8), random(6, 2), random(6, 2, 2), random(6, 8)
    settings = 2, 3, 0.1, 0.1, 2.0
    yield "hyper_connection_mix_forward", random(6, 16).bfloat16(), random(16, 8), 1e-6
    for needs in ((True, True), (True, False), (False, True)):
        yield "hyper_connection_mix_backward", mix, random(6, 16).bfloat16(), random(16, 8), mix, rows, *needs
    for keeps in (True, False):
        yield "hyper_connection_coefficients_forward", mix, w.half(), *numbers, *settings, keeps
        history = torch.ones(3, 2, 2, 6) if keeps else None
        given = row, row, square, mix, w.half(), *numbers
        yield "hyper_connection_coefficients_backward", *given, history, *settings
    yield "hyper_connection_input_forward", streams, row
    yield "hyper_connection_input_backward", random(6, 8), streams, row
    yield "hyper_connection_next_forward", streams, random(6, 8).half(), row, square
    yield "hyper_connection_next_backward", streams, streams, random(6, 8).half(), row, square


def experts():
    from liger_kernel.ops.fused_moe import expert_rows

    # Each expert has a block, so that there is no row that nobody writes.
    choices = torch.tensor([0, 1, 2, 1, 0, 0])
    x, placed = random(3, 128), expert_rows(choices, 2)
    yield "expert_rows", choices.to(torch.int32), 256, 2, 3
    weights = random(2, 128, 128), random(2, 128, 64), random(3, 2)
    for keeps in (True, False):
        yield "experts_forward", x, *weights, *placed, keeps
    for needs in (15, 1, 2, 4, 8):
        yield "experts_backward", x, x, random(placed[1].shape[0], 128), *weights, *placed, needs


def matrices_of_8_bits():
    for x in (random(6, 48), random(6, 48).bfloat16()):
        yield "fp8_quantise", x
        yield "fp8_quantise", x, "e5m2"


def rotations_and_tables():
    heads, angles, rotations = random(2, 5, 4, 8), random(3, 2, 5, 8), random(2, 5, 4, 2)
    yield "rope", heads.transpose(1, 2), random(2, 5, 2, 8).transpose(1, 2), angles[0], angles[1], 8, False
    yield "rope", random(2, 4, 5, 8), random(2, 2, 5, 8), angles[0, :1], angles[1, :1], 6, True
    yield "multimodal_rope", heads, heads, angles, angles, [1, 1, 2], False
    yield "interleaved_rope", heads, heads, rotations, True
    yield "embedding_forward", random(4, 8), labels(3, 2)
    yield "embedding_backward", random(3, 2, 8), labels(3, 2), 4


def losses():
    logits, classes = random(6, 4), labels(6)
    for first in (0, 2):
        yield "class_parts", logits, classes, first
        yield "class_parts_gradient", logits, classes, torch.ones(4, 6), first, -100
    yield "cross_entropy_tvd_forward", logits, logits.bfloat16(), classes, -100
    yield "cross_entropy_tvd_backward", torch.ones(6), torch.ones(6), logits, logits, classes, torch.ones(6, 4)
    for reduction in ("mean", "none"):
        for wants, z_loss in ((0, 0.1), (3, 0.0), (7, 0.1)):
            options = -100, z_loss, 0.0, reduction, None, wants, True
            yield "cross_entropy", logits, classes, None, None, None, *options
            layer = random(6, 8), random(4, 8), random(4), classes
            yield "fused_linear_cross_entropy", *layer, None, None, None, *options, False, "exact", None, wants
            yield "fused_linear_cross_entropy", *layer[:2], None, *layer[3:], None, None, None, *options
        shares = logits.softmax(-1)
        yield "divergence", shares, shares, None, "tvd", reduction, -100, 0.5, 0.0, reduction == "none"


@pytest.mark.parametrize("case", list(cases()), ids=lambda case: case[0])
def test_a_compiler_sees_what_a_run_gives(case):
    name, *arguments = case
    arguments = [a.detach() if isinstance(a, torch.Tensor) else a for a in arguments]
    run = getattr(torch.ops.liger_kernel, name).default
    found = run(*arguments)
    with FakeTensorMode(allow_non_fake_inputs=False) as mode:
        seen = run(*[mode.from_tensor(a) if isinstance(a, torch.Tensor) else a for a in arguments])
    for a, b in zip(*((v if isinstance(v, (tuple, list)) else (v,)) for v in (found, seen)), strict=True):
        assert (a.shape, a.stride(), a.dtype) == (b.shape, b.stride(), b.dtype)
    plain = _operation._functions[name][0](*arguments)
    for a, b in zip(*((v if isinstance(v, tuple) else (v,)) for v in (plain, found)), strict=True):
        assert b.numel() == 0 if a is None else torch.equal(a, b)


def test_shapes_that_are_not_known_yet():
    """Lengths and vocabularies may be symbols."""
    def function(table, ids, w, x):
        y = torch.ops.liger_kernel.embedding_forward(table, ids)
        y, rstd = torch.ops.liger_kernel.rms_norm_forward(y, w)
        dtable = torch.ops.liger_kernel.embedding_backward(y, ids, table.shape[0])
        return dtable, rstd, torch.ops.liger_kernel.swiglu_gate_up_forward(x)

    seen = []

    def backend(graph, inputs):
        seen.append(graph)
        return graph

    torch._dynamo.reset()
    compiled = torch.compile(function, fullgraph=True, backend=backend, dynamic=True)
    for tokens, vocabulary in ((3, 7), (4, 9), (6, 5)):
        given = random(vocabulary, 8, grad=False), labels(2, tokens), torch.ones(8), random(2, tokens, 8, grad=False)
        for a, b in zip(compiled(*given), function(*given), strict=True):
            assert torch.equal(a, b)
    assert len(seen) == 1


def test_importing_loads_no_library():
    code = """
import liger_kernel.ops, liger_kernel.transformers.functional
from liger_kernel import _library, _signature
print(_library._library, _signature.declared.cache_info().currsize)
"""
    assert forked(code) == "None 0"


def test_the_first_call_in_many_threads():
    function, start = _operation.eager("rms_norm_forward"), threading.Barrier(8)
    x = torch.randn(3, 8)
    expected = torch.nn.functional.rms_norm(x, (8,), None, 1e-6)

    def work(_):
        start.wait()
        return [function(x, None)[0] for _ in range(50)]

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for results in pool.map(work, range(8)):
            assert all(torch.allclose(y, expected) for y in results)


def test_options_that_never_change():
    function = _operation.eager("rms_norm_forward", needs_rstd=False, casting="gemma")
    x = torch.randn(3, 8)
    assert torch.is_tensor(function(x, None, 1e-6, 0.0))
    with pytest.raises(TypeError, match="takes from 2 to 4 positional arguments but 5 were given"):
        function(x, None, 1e-6, 0.0, "llama")
    with pytest.raises(ValueError, match="the option 'casting' is 'other'. Give one of: llama, gemma, none"):
        _operation.eager("rms_norm_forward")(x, None, 1e-6, 0.0, "other")


def test_an_exported_program_runs_elsewhere(tmp_path):
    class Model(torch.nn.Module):
        def forward(self, x, table):
            ids = torch.ops.liger_kernel.softmax_forward(x).argmax(-1)
            return torch.ops.liger_kernel.embedding_forward(table, ids)

    given = torch.eye(4), torch.randn(4, 8)
    torch.export.save(torch.export.export(Model(), given), tmp_path / "model.pt2")
    torch.save(given, tmp_path / "given.pt")
    code = f"""
import torch, liger_kernel.ops
model = torch.export.load({str(tmp_path / "model.pt2")!r}).module()
given = torch.load({str(tmp_path / "given.pt")!r})
print(torch.equal(model(*given), given[1]))
"""
    assert forked(code) == "True"


def test_operators_are_those_of_operations():
    assert not hasattr(torch.ops.liger_kernel, "nothing") and not hasattr(torch.ops.liger_kernel, "_nothing")
    # What writes over its inputs is none.
    assert not hasattr(torch.ops.liger_kernel, "scale_rows")


@pytest.mark.parametrize(
    "text", ["", "{", "[{}]", "[1]", '{"name": 1}', '[{"name": "a"}]',
             '[{"name": "a", "inputs": [], "options": [{}], "outputs": []}]',
             '[{"name": "a", "inputs": [], "options": [], "outputs": [{"name": "y", "shape": [], "dtype": "f8"}]}]',
             '[{"name": "a", "inputs": [], "outputs": [], "options": [{"name": "n", "type": "date", "default": 1}]}]'],
)  # fmt: skip
def test_signatures_of_another_version(monkeypatch, text):
    other = types.SimpleNamespace(liger_signatures=lambda: text.encode())
    monkeypatch.setattr(_library, "library", lambda: other)
    monkeypatch.setattr(_signature, "declared", _signature.declared.__wrapped__)
    with pytest.raises(ImportError, match="of two versions"):
        _signature.signature.__wrapped__("a")


def test_defaults_are_the_librarys():
    text = json.loads(_library.library().liger_signatures())
    options = {each["name"]: each for each in text if each["name"] == "cross_entropy" for each in each["options"]}
    values = _signature.signature("cross_entropy").values((1, 2, None, None, None, 5))
    assert values["ignore_index"] == 5 and values["softcap"] is None
    assert values["reduction"] == options["reduction"]["default"] == "mean"
