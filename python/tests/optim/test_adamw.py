"""AdamW against torch's in float64, its 8-bit states, its rounding, and its resumption."""

import copy
import io
import pickle

import pytest
import torch

from liger_kernel.optim import AdamW

# A tensor with 8-bit states; one whose size is no multiple of 256; small ones that are updated together, and alone.
SHAPES = [(64, 128), (65, 67), (256,), (256,), (7,), (1,), (100, 3)]
OPTIONS = {"lr": 0.02, "betas": (0.8, 0.95), "eps": 1e-4, "weight_decay": 0.3}


def parameters(dtype, device, shapes=SHAPES):
    generator = torch.Generator().manual_seed(1)
    return [torch.nn.Parameter(torch.randn(*s, generator=generator).to(device, dtype)) for s in shapes]


def give_gradients(params, step):
    generator = torch.Generator().manual_seed(100 + step)
    for p in params:
        p.grad = torch.randn(*p.shape, generator=generator).to(p.device, p.dtype)


def reference(params, steps, groups=None, **options):
    """torch's AdamW in float64 over the same gradients; the weights."""
    twins = [torch.nn.Parameter(p.detach().double().cpu()) for p in params]
    optimiser = torch.optim.AdamW(twins if groups is None else groups(twins), **{**OPTIONS, **options})
    for step in range(steps):
        give_gradients(params, step)
        for twin, p in zip(twins, params):
            twin.grad = p.grad.double().cpu()
        optimiser.step()
    return twins


@pytest.mark.parametrize("shapes", [SHAPES, SHAPES[:3]], ids=["together", "alone"])
def test_fp32_is_torchs(device, shapes):
    params = parameters(torch.float32, device, shapes)
    expected = reference(params, 5)
    optimiser = AdamW(params, **OPTIONS, bits=32)
    for step in range(5):
        give_gradients(params, step)
        optimiser.step()
    for p, twin in zip(params, expected):
        torch.testing.assert_close(p.detach().double().cpu(), twin.detach(), rtol=0, atol=4e-6)


def test_masters_round_once(device):
    params = parameters(torch.bfloat16, device)
    expected = reference(params, 5)
    optimiser = AdamW(params, **OPTIONS, bits=32, rounding="master")
    for step in range(5):
        give_gradients(params, step)
        optimiser.step()
    for p, twin in zip(params, expected):
        master = optimiser.state[p]["master"]
        torch.testing.assert_close(master.double().cpu(), twin.detach(), rtol=0, atol=4e-6)
        assert torch.equal(p.detach(), master.to(torch.bfloat16))


def test_groups_have_their_own_options(device):
    params = parameters(torch.float32, device)

    def groups(tensors):
        return [{"params": tensors[:3]}, {"params": tensors[3:], "lr": 0.5, "weight_decay": 0.0, "betas": (0.5, 0.6)}]

    expected = reference(params, 3, groups)
    optimiser = AdamW(groups(params), **OPTIONS, bits=32)
    for step in range(3):
        give_gradients(params, step)
        optimiser.step()
    for p, twin in zip(params, expected):
        torch.testing.assert_close(p.detach().double().cpu(), twin.detach(), rtol=0, atol=2e-5)


def decoded(state, key):
    """What codes and scales stand for, by the formula at `AdamW` of the library."""
    codes, exponents = state[key].flatten().long().cpu(), 4 if key == "exp_avg" else 5
    magnitude, sign = codes, torch.ones(codes.shape, dtype=torch.double)
    if key == "exp_avg":
        magnitude, sign = codes % 128, torch.where(codes >= 128, -1.0, 1.0).double()
    field, fraction = magnitude // 8, magnitude % 8
    values = torch.where(field > 0, (1 + fraction / 8) * 2.0 ** (field - 1).double(), fraction / 8)
    top = 1.875 * 2.0 ** (2**exponents - 2)
    scale = state[f"{key}_scale"].double().cpu().repeat_interleave(256)
    return (sign * values.double() / top * scale).view(state[key].shape)


@pytest.mark.parametrize("key, exponents", [("exp_avg", 4), ("exp_avg_sq", 5)])
def test_codes_are_neighbours_of_the_states(device, key, exponents):
    p = torch.nn.Parameter(torch.zeros(64, 256, device=device))
    optimiser = AdamW([p], lr=0.0, weight_decay=0.0)
    # Magnitudes over many powers of two, of both signs, zeros among them.
    gradient = torch.randn(64, 256) * 2.0 ** torch.randint(-30, 3, (64, 256))
    gradient[:, 5] = 0
    p.grad = gradient.to(device)
    optimiser.step()
    exact = 0.1 * gradient.double() if key == "exp_avg" else 0.001 * gradient.double() ** 2
    found = decoded(optimiser.state[p], key)
    scale = exact.abs().amax(dim=1, keepdim=True)
    # To a neighbour: an eighth of the number's power of two, or of the least exponent's.
    least = 2.0 ** (2 - 2**exponents)
    unit = (2.0 ** torch.floor(torch.log2((exact.abs() / scale * 1.875).clamp(min=1e-30)))).clamp(min=least)
    error = (found - exact).abs() / scale * 1.875
    assert (error <= unit / 8 * 1.001).all()
    assert (error > unit / 16).any()
    assert torch.equal(found[:, 5], torch.zeros(64).double())
    if key == "exp_avg_sq":
        assert (found[exact > 0] > 0).all()


def test_rounding_of_states_is_right_on_average(device):
    """A constant gradient's mean square grows by a thousandth of the rest: rounded to nearest it would stand still."""
    p = torch.nn.Parameter(torch.zeros(256, 256, device=device))
    optimiser = AdamW([p], lr=0.0, weight_decay=0.0)
    # The first elements set the scales.
    gradient = torch.full((256, 256), 0.5)
    gradient[:, 0] = 1.0
    for _ in range(400):
        p.grad = gradient.to(device)
        optimiser.step()
    found = decoded(optimiser.state[p], "exp_avg_sq")[:, 1:]
    exact = 0.25 * (1 - 0.999**400)
    assert abs(found.mean().item() / exact - 1) < 0.01


def test_rounding_of_weights_is_right_on_average(device):
    """Updates of a sixteenth of a weight's last bit."""
    p = torch.nn.Parameter(torch.ones(256, 256, device=device, dtype=torch.bfloat16))
    optimiser = AdamW([p], lr=2.0**-11, eps=0.0, weight_decay=0.0, bits=32)
    for _ in range(8):
        p.grad = -torch.ones_like(p)
        optimiser.step()
    # The mean moves by 8 steps of 2^-11; five deviations of it.
    deviation = 2.0**-7 * 0.5 / 256
    assert abs(p.double().mean().item() - (1 + 8 * 2.0**-11)) < 5 * deviation
    assert set(p.double().unique().tolist()) <= {1 + i * 2.0**-7 for i in range(9)}
    # Each step has numbers of its own: so three weights in five never move, not 15 in 16.
    assert abs((p == 1).double().mean().item() - (15 / 16) ** 8) < 0.02


def test_tensors_updated_together_are_as_alone(device, monkeypatch):
    from liger_kernel.optim import _bundle

    runs = []
    for most in (_bundle._MOST, 0):
        monkeypatch.setattr(_bundle, "_MOST", most)
        params = parameters(torch.bfloat16, device, [(4096,), (16, 512), (4096,), (64, 128)])
        optimiser = AdamW(params, **OPTIONS)
        for step in range(3):
            give_gradients(params, step)
            optimiser.step()
        assert [len(bundles) for bundles in optimiser._bundles] == [1 if most else 0]
        runs.append(params)
    assert all(torch.equal(p, q) for p, q in zip(*runs))


@pytest.mark.parametrize("bits", [8, 32])
@pytest.mark.parametrize(
    "dtype, rounding", [(torch.bfloat16, "stochastic"), (torch.bfloat16, "master"), (torch.float16, "nearest")]
)
def test_a_resumed_run_is_bitwise_the_same(device, bits, dtype, rounding):
    def run(params, optimiser, steps):
        for step in steps:
            give_gradients(params, step)
            optimiser.step()

    whole = parameters(dtype, device)
    run(whole, AdamW(whole, **OPTIONS, bits=bits, rounding=rounding, seed=5), range(6))

    params = parameters(dtype, device)
    optimiser = AdamW(params, **OPTIONS, bits=bits, rounding=rounding, seed=5)
    run(params, optimiser, range(3))
    file = io.BytesIO()
    torch.save({"optimiser": optimiser.state_dict(), "params": [p.detach() for p in params]}, file)
    file.seek(0)
    saved = torch.load(file)
    again = [torch.nn.Parameter(p.clone()) for p in saved["params"]]
    resumed = AdamW(again, lr=1.0, bits=bits, rounding=rounding, seed=5)
    resumed.load_state_dict(saved["optimiser"])
    assert resumed.param_groups[0]["lr"] == OPTIONS["lr"]
    run(again, resumed, range(3, 6))
    for p, q in zip(again, whole):
        assert torch.equal(p, q)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))])
def test_a_copy_goes_on_alike(device, duplicate):
    params = parameters(torch.bfloat16, device)
    optimiser = AdamW([{"params": params[:4]}, {"params": params[4:], "lr": 0.1}], **OPTIONS, seed=5)
    give_gradients(params, 0)
    optimiser.step()
    copied = duplicate((params, optimiser))
    for each, its in ((params, optimiser), copied):
        for step in range(1, 3):
            give_gradients(each, step)
            its.step()
        its.load_state_dict(its.state_dict())
    for p, q in zip(params, copied[0]):
        assert p is not q
        assert torch.equal(p, q)


def test_other_options_refuse_a_state(device):
    params = parameters(torch.bfloat16, device)
    optimiser = AdamW(params)
    give_gradients(params, 0)
    optimiser.step()
    with pytest.raises(ValueError, match="uint8.*float32"):
        AdamW(params, bits=32).load_state_dict(optimiser.state_dict())


def test_missing_gradients_leave_parameters_alone(device):
    params = parameters(torch.float32, device)
    expected = reference(params[:-1], 2)
    before = params[-1].detach().clone()
    optimiser = AdamW(params, **OPTIONS, bits=32)
    for step in range(2):
        give_gradients(params[:-1], step)
        params[-1].grad = None
        optimiser.step()
    assert torch.equal(params[-1], before)
    for p, twin in zip(params, expected):
        torch.testing.assert_close(p.detach().double().cpu(), twin.detach(), rtol=0, atol=4e-6)


@pytest.mark.parametrize("p", [
    torch.randn(32, 8, 4, 4).to(memory_format=torch.channels_last), torch.randn(64, 32).t(), torch.randn(0, 4),
], ids=["channels last", "transposed", "empty"])  # fmt: skip
def test_orders_in_memory(p):
    mine, theirs = torch.nn.Parameter(p.clone()), torch.nn.Parameter(p.clone())
    assert mine.stride() == p.stride()
    a, b = AdamW([mine], **OPTIONS, bits=32), torch.optim.AdamW([theirs], **OPTIONS)
    for _ in range(2):
        mine.grad = torch.randn(p.shape)
        theirs.grad = mine.grad.clone()
        a.step(), b.step()
    torch.testing.assert_close(mine, theirs)


def model_and_input(device):
    torch.manual_seed(3)
    model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.Tanh(), torch.nn.Linear(64, 64, bias=False))
    return model.to(device), torch.randn(16, 64, device=device)


def test_updates_inside_the_backward_pass(device):
    model, x = model_and_input(device)
    other = copy.deepcopy(model)
    ours = AdamW(model.parameters(), **OPTIONS, update_in_backward=True)
    theirs = AdamW(other.parameters(), **OPTIONS)
    for _ in range(3):
        model(x).square().mean().backward()
        assert all(p.grad is None for p in model.parameters())
        ours.step()
        other(x).square().mean().backward()
        theirs.step()
        theirs.zero_grad()
    for p, q in zip(model.parameters(), other.parameters()):
        assert torch.equal(p, q)


def test_short_gradients_are_not_lengthened(device):
    runs = []
    for options in ({}, {"max_norm": 1e6}):
        model, x = model_and_input(device)
        optimiser = AdamW(model.parameters(), **OPTIONS, update_in_backward=True, **options)
        for _ in range(3):
            model(x).square().mean().backward()
            optimiser.step()
        runs.append(list(model.parameters()))
    assert all(torch.equal(p, q) for p, q in zip(*runs))


def test_clips_by_the_last_norm(device):
    model, x = model_and_input(device)
    other = copy.deepcopy(model)
    ours = AdamW(model.parameters(), **OPTIONS, update_in_backward=True, max_norm=0.01)
    theirs = AdamW(other.parameters(), **OPTIONS)
    factor = 1.0
    for step in range(4):
        if step == 2:  # Through a checkpoint.
            saved = ours.state_dict()
            ours = AdamW(model.parameters(), **OPTIONS, max_norm=0.01, update_in_backward=True)
            ours.load_state_dict(saved)
            for p in model.parameters():
                # The first optimiser's hooks.
                p._post_accumulate_grad_hooks.popitem(last=False)
        model(x).square().mean().backward()
        ours.step()
        other(x).square().mean().backward()
        norm = torch.nn.utils.get_total_norm([p.grad for p in other.parameters()])
        for p in other.parameters():
            p.grad *= factor
        factor = (0.01 / (norm + 1e-6)).clamp(max=1)
        theirs.step()
        theirs.zero_grad()
    assert factor < 1
    for p, q in zip(model.parameters(), other.parameters()):
        torch.testing.assert_close(p, q, rtol=1e-5, atol=1e-6)


def test_accumulation_is_refused_inside_the_backward_pass(device):
    model, x = model_and_input(device)
    optimiser = AdamW(model.parameters(), update_in_backward=True)
    model(x).sum().backward()
    with pytest.raises(RuntimeError, match="cannot be accumulated"):
        model(x).sum().backward()
    with pytest.raises(RuntimeError, match="closure"):
        optimiser.step(lambda: 0)


def test_no_copy_of_what_updates_inside_the_backward_pass(device):
    model, _ = model_and_input(device)
    with pytest.raises(RuntimeError, match="state_dict"):
        copy.deepcopy(AdamW(model.parameters(), update_in_backward=True))


@pytest.mark.parametrize("options, message", [
    ({"bits": 4}, "Give 8 or 32"), ({"rounding": "up"}, "Give one of"), ({"betas": (1.0, 0.9)}, "betas"),
    ({"max_norm": 1.0}, "clip_grad_norm_"), ({"max_norm": -1, "update_in_backward": True}, "above 0"),
])  # fmt: skip
def test_refused_options(options, message):
    with pytest.raises(ValueError, match=message):
        AdamW([torch.nn.Parameter(torch.zeros(2))], **options)


def test_refused_weights():
    with pytest.raises(TypeError, match="float64"):
        AdamW([torch.nn.Parameter(torch.zeros(2, dtype=torch.float64))])
    with pytest.raises(ValueError, match="float16"):
        AdamW([torch.nn.Parameter(torch.zeros(2, dtype=torch.float16))])
    p = torch.nn.Parameter(torch.zeros(4, 2))
    p.grad = torch.zeros(4, 2).to_sparse()
    with pytest.raises(TypeError, match="dense"):
        AdamW([p]).step()
