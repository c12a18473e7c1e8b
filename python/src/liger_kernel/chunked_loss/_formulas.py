"""Which formula a loss runs. The Swift library has kernels for ours; any other runs under autograd as it is, and its
derivatives become the layer's gradients by kernels.

A class's formula is a function among its attributes. `has_kernel` marks ours. What a subclass puts in its place, or
somebody on the class itself, has no mark, whatever its name is.
"""

import functools
import types

import torch

from liger_kernel._call import call
from liger_kernel._outside import outside_graphs
from liger_kernel.ops._layer_of_rows import whole
from liger_kernel.ops._linear_loss import OUTSIDE
from liger_kernel.ops._linear_loss import LinearLossFunction
from liger_kernel.ops._memory import budget
from liger_kernel.ops._primitive import Function
from liger_kernel.ops._primitive import first_order

_kernels = {}


def has_kernel(options):
    """Marks a formula that the Swift library has a kernel for.

    options: gives the kernel's options for arguments of the formula; None where it has none for these.
    """

    def mark(formula):
        _kernels[formula] = options
        return formula

    return mark


def kernel_options(formula, **arguments):
    """The options of a formula's kernel for these arguments; None where the formula itself has to run."""
    options = _kernels.get(formula) if isinstance(formula, types.FunctionType) else None
    return None if options is None else options(**arguments)


# Releases of torch's compiler before 2.7 look up no class attribute of a Function; it breaks its graph at these anyway.
@outside_graphs(OUTSIDE)
def with_formula_of(module, function):
    """The Function of a module's loss; where the module's class brings a formula of its own, one that runs it."""
    formula = getattr(module, function.FORMULA, None)
    checks = getattr(module, "checks_shares", function.checks_shares)
    return function if formula is None else _with_formula(function, formula, checks)


@functools.lru_cache(maxsize=32)
def _with_formula(function, formula, checks):
    names = {function.FORMULA: staticmethod(formula), "checks_shares": checks}
    return type(function.__name__, (function,), names)


class FormulaFunction(LinearLossFunction):
    """A loss of a linear layer by a formula that subclasses may replace."""

    # The formula's name.
    FORMULA = ""
    # Gradients that `backward` gives at least: subclasses cut them and put their own arguments' behind.
    GRADIENTS = 0
    # Whether a formula that the library has no kernel for is tried once: does it give its part's share of the loss?
    checks_shares = True

    def __init_subclass__(cls):
        super().__init_subclass__()
        # torch.compile looks into forward, whatever `apply` says, and is to break its graph there.
        forward = cls.__dict__.get("forward")
        if isinstance(forward, (classmethod, staticmethod)):
            cls.forward = type(forward)(outside_graphs(OUTSIDE)(forward.__func__))

    @staticmethod
    @first_order
    def backward(ctx, *upstream):
        """Gradients in the places of the base's own `forward`: of input, weight and bias, and None for the rest.

        upstream: as autograd gives it, or all of it as one tuple, as upstream's subclasses hand it over.
        """
        upstream = upstream[0][0] if isinstance(upstream[0], tuple) else upstream[0]
        results = LinearLossFunction.backward(ctx, upstream)
        return results + (None,) * (ctx.count - len(results))

    @classmethod
    def compute(cls, ctx, operation, tensors, *arguments, **options):
        ctx.count = cls.GRADIENTS
        return super().compute(ctx, operation, tensors, *arguments, **options)

    @classmethod
    def of_log_probabilities(
        cls, ctx, tensors, evaluate, *, wanted, memory, of_chunks, sums_logits=False, **options,
    ):  # fmt: skip
        """The loss and results of a formula of log-probabilities, and sums of each token's logits if asked for.

        tensors: the layer's, labels, and second_labels or None. evaluate: gives loss and results of the
        log-probabilities of the labels, in their shape, and of second ones. wanted: whether input, weight and bias need
        gradients, by name. options: ignored index and temperature.
        """
        tensors = whole(tensors)
        scores = log_probabilities(tensors, budget(memory[1], of_chunks), sums_logits=sums_logits, **options)
        sums = scores.pop("logit_sums", None)
        leaves = {
            key: scores[key].view(tensors[of].shape)
            for key, of in (("log_probabilities", "labels"), ("second_log_probabilities", "second_labels"))
            if key in scores
        }
        loss, results, slopes = differentiated(evaluate, *leaves.values(), wants=any(wanted.values()))
        if slopes is not None:
            scores.pop("second_log_probabilities", None)
            coefficients = dict(zip(("coefficients", "second_coefficients"), slopes))
            cls.compute(
                ctx, "linear_log_probability_gradients", tensors | scores | coefficients, memory, of_chunks, wanted,
                **options,
            )  # fmt: skip
        return loss, results, sums


def wanted(input, weight, bias):
    """Which of a layer's tensors need a gradient, by name."""
    return {
        "input": input.requires_grad,
        "weight": weight.requires_grad,
        "bias": bias is not None and bias.requires_grad,
    }


def log_probabilities(tensors, budget_bytes=None, **options):
    """Of a layer's labels, with what gradients need of them: the operation's outputs by name, of each token."""
    return call("linear_log_probabilities", whole(tensors), budget_bytes=budget_bytes, **options)


def answer_log_probabilities(tokens, counts, average):
    """Sums or means of the log-probabilities of answers' tokens. tokens: 0 where `counts` is False."""
    total = tokens.sum(-1)
    return total / counts.sum(-1).clamp_min(1) if average else total


def differentiated(evaluate, *leaves, wants):
    """The loss and results of a formula, and the loss's derivatives by its leaves; None where nothing wants them.

    evaluate: gives a loss and results of the leaves, which are not to be written over.
    """
    if not wants:
        return *evaluate(*leaves), None
    with torch.enable_grad():
        leaves = [leaf.detach().requires_grad_() for leaf in leaves]
        loss, results = evaluate(*leaves)
        slopes = torch.autograd.grad(loss, leaves, allow_unused=True) if loss.requires_grad else [None] * len(leaves)
    slopes = [torch.zeros_like(leaf) if slope is None else slope for leaf, slope in zip(leaves, slopes)]
    return loss.detach(), detached(results), slopes


def detached(results):
    """Tensors, however nested, without gradients."""
    if isinstance(results, (tuple, list)):
        return tuple(map(detached, results))
    return results.detach() if isinstance(results, torch.Tensor) else results


class Parts:
    """What a formula gives of the parts of a batch, one after the other."""

    def __init__(self, cls, like):
        """cls: whose formula it is. like: a tensor on the device."""
        self._name, self._device = f"{cls.__name__}.{cls.FORMULA}", like.device
        self._results, self._is_wanted, self._leads = [], False, False

    def add(self, found):
        """The loss in what the formula gave: that, or a tuple of it and results, which are kept.

        Raises ValueError where it is not one number.
        """
        loss, *results = found if isinstance(found, tuple) else (found,)
        loss = torch.as_tensor(loss, dtype=torch.float32, device=self._device)
        if loss.dim():
            raise ValueError(
                f"{self._name} gave a loss of shape {tuple(loss.shape)}. It must be one number, of no dimension: the "
                "share in the whole batch's loss of the part that the formula is given. Sum over the part"
            )
        self._is_wanted |= torch.is_grad_enabled()
        self._leads |= loss.requires_grad
        self._results.append([torch.as_tensor(result, device=self._device).detach() for result in results])
        return loss.reshape(())

    def check(self):
        """Raises RuntimeError where gradients are wanted and no loss leads to what the formula was given."""
        if self._is_wanted and not self._leads:
            raise RuntimeError(
                f"the loss that {self._name} gave cannot be differentiated: nothing leads from it to the "
                "log-probabilities or logits that the formula was given. Leave out .detach(), .item(), torch.no_grad() "
                "and NumPy on the way"
            )

    def results(self):
        """Of all parts: sums of numbers in fp32, and arrays one after the other."""
        return tuple(
            torch.cat(parts) if parts[0].dim() else sum(part.float() for part in parts)
            for parts in zip(*self._results, strict=True)
        )


def split(tensor, count):
    """A tensor's parts along its first dimension, as torch.chunk cuts it; as many times None where there is no tensor.

    They are slices, which a formula may write over; what torch.chunk gives refuses it.
    """
    if tensor is None:
        return [None] * count
    size = max(1, -(-len(tensor) // count))
    return [tensor[start : start + size] for start in range(0, len(tensor), size)]


class TokenLogProbabilities(Function):
    """log softmax((input weight^T + bias) / temperature) of labels, in fp32 and in their shape, without the logits."""

    @staticmethod
    def forward(ctx, input, weight, bias, labels, temperature=1.0):
        tensors = whole({"input": input, "weight": weight, "bias": bias, "labels": labels})
        scores = log_probabilities(tensors, temperature=temperature)
        ctx.names, ctx.temperature = [*tensors, *scores], temperature
        ctx.save_for_backward(*tensors.values(), *scores.values())
        return scores["log_probabilities"].view(labels.shape)

    @staticmethod
    @first_order
    def backward(ctx, upstream):
        tensors = dict(zip(ctx.names, ctx.saved_tensors)) | {"coefficients": upstream.float().contiguous()}
        needs = sum(1 << place for place, is_needed in enumerate(ctx.needs_input_grad[:3]) if is_needed)
        found = call("linear_log_probability_gradients", tensors, temperature=ctx.temperature, needs=needs)
        return found.get("dinput"), found.get("dweight"), found.get("dbias"), None, None
