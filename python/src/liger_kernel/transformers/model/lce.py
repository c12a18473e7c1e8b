"""One loss forward for every model.

What it is: `lce_forward` runs the model's own forward, whichever transformers release wrote it, and steps in at two
places only. The forward is called with a stand-in for `self`: an object that answers every attribute with the
model's, except

* the head (`lm_head`), whose call answers with `DeferredLogits`: the hidden states it was called with and nothing
  more. A head that cannot be taken apart (see `heads`) is itself, and so are the logits it makes;
* `loss_function`, which takes the loss from those hidden states and the head's weight with fused linear cross entropy.

So arguments that this file has never heard of reach the model, auxiliary losses of routers are added where the model
adds them, logits_to_keep slices hidden states, a logit scale or softcap is written down and becomes part of the fused
loss, and nothing of the model is changed while it runs.

When: with labels (or `shift_labels`) in training the logits are not made and the output has none, unless
`skip_logits=False`; with `skip_logits=True` the same holds in evaluation. Without labels, and in evaluation, the
model's own forward runs untouched: a trainer that takes the loss itself asks for `skip_logits=True` and leaves the
labels out, in `torch.no_grad`, and gets logits. Options of the fused loss (`use_token_scaling`, `label_smoothing`,
`return_token_accuracy`, ...) are taken from the keyword arguments; where logits are wanted as well, they are made too.

A loss function that is not transformers' causal one is called with the deferred logits: one that ends in
`F.cross_entropy` is fused, any other gets real logits.
"""

from __future__ import annotations

import importlib
import inspect

from dataclasses import is_dataclass
from typing import Any
from typing import Callable
from typing import Optional

import torch

from liger_kernel.ops._primitive import is_compiling
from liger_kernel.transformers.model import heads
from liger_kernel.transformers.model import loss_utils
from liger_kernel.transformers.model import parallel
from liger_kernel.transformers.model.deferred import Deferred
from liger_kernel.transformers.model.deferred import DeferredLogits
from liger_kernel.transformers.model.output_classes import liger_output_class
from liger_kernel.transformers.model.output_classes import with_predictions
from liger_kernel.transformers.model.plain import PlainLogits
from liger_kernel.transformers.model.product import Product
from liger_kernel.transformers.model.stand_ins import PlainHead
from liger_kernel.transformers.model.stand_ins import dismiss
from liger_kernel.transformers.model.stand_ins import head_view
from liger_kernel.transformers.model.stand_ins import is_model_view
from liger_kernel.transformers.model.stand_ins import model_view
from liger_kernel.transformers.model.stand_ins import type_beneath

# Options that only the fused loss knows. Asking for one asks for that loss, with or without logits.
OWN_OPTIONS = frozenset(
    {
        "return_token_accuracy",
        "return_predicted_tokens",
        "return_z_loss",
        "use_token_scaling",
        "label_smoothing",
        "lse_square_scale",
        "accum_dtype",
        "ce_weight",
        "chunk_mem_const",
        "budget_bytes",
    }
)
# Options that transformers' own loss has too.
SHARED_OPTIONS = frozenset({"num_items_in_batch", "ignore_index", "shift_labels"})

SIZES = ("chunk_mem_const", "budget_bytes")

HEAD = "lm_head"

# Of each class that was given a loss forward: what it had before the last time, and before the first.
_originals: dict = {}
_firsts: dict = {}
_positional: dict = {}


def make_lce_forward(module: str, class_name: str, name: str = "lce_forward") -> Callable:
    """The loss forward of one model class, importable as `name` from `module`.

    Every class has a function of its own, because trainers read a forward's signature: it is the class's, with
    `skip_logits` added.
    """

    def lce_forward(self, *args, **kwargs):
        """The model's own forward with its head and loss fused; see `liger_kernel.transformers.model.lce`."""
        return fused_forward(self, args, kwargs)

    lce_forward.__module__ = module
    lce_forward.__name__ = lce_forward.__qualname__ = name
    lce_forward.liger_class = class_name
    lce_forward.liger_forward = lce_forward
    return lce_forward


def is_loss_forward(function: Any) -> bool:
    """Whether this is one of ours; functools.wraps gives others its attributes, which still name ours."""
    function = getattr(function, "__func__", function)
    return function is not None and getattr(function, "liger_forward", None) is function


def remember(cls: type, loss_forward: Callable) -> None:
    """Prepares a model class for `loss_forward`: its own forward is kept, so that the class can be given ours."""
    original = cls.__dict__.get("forward")
    if original is not None and not is_loss_forward(original):
        _originals[cls] = original
        _firsts.setdefault(cls, original)
    original = original_forward(cls)
    signature = inspect.signature(original)
    _positional[original] = tuple(signature.parameters)[1:]
    loss_forward.__signature__ = with_skip_logits(signature)
    for output in output_types(original):
        liger_output_class(output)


def original_forward(cls: type, after: Optional[type] = None) -> Callable:
    """The forward that a class has beneath any loss forward, or that of the classes after one of its bases."""
    for base in cls.__mro__[0 if after is None else cls.__mro__.index(after) + 1 :]:
        forward = base.__dict__.get("forward")
        if forward is None:
            continue
        if not is_loss_forward(forward):
            return forward
        if base in _originals:
            return _originals[base]
    raise RuntimeError(
        f"{cls.__name__} was given a Liger loss forward without its own being kept; use "
        "apply_liger_kernel_to_*(), or import the loss forward before assigning it"
    )


def forward_beneath(cls: type, inside: bool) -> Callable:
    """The forward for a loss forward to run, which was called with a model of class `cls`.

    Another may have called the loss forward: that of a derived class by `super()`, or one that stands in its place on
    the class and kept it. So it is looked for beneath the class whose loss forward this is. `inside`: the call comes
    from a forward that a loss forward runs.
    """
    bound = [base for base in cls.__mro__ if has_bound_loss(base)]
    if bound and not inside:
        return original_forward(cls, bound[0])
    kept = _firsts if inside else _originals
    for base in cls.__mro__:
        if was_covered(base, kept):
            return kept[base]
    return original_forward(cls, bound[-1] if bound else None)


def was_covered(cls: type, kept: dict = _originals) -> bool:
    """Whether a class that was given a loss forward has that now, or what somebody put over it."""
    return cls in kept and cls.__dict__.get("forward") is not kept[cls]


def has_bound_loss(cls: type) -> bool:
    return "_liger_binding" in cls.__dict__ and is_loss_forward(cls.__dict__.get("forward"))


def with_skip_logits(signature: inspect.Signature) -> inspect.Signature:
    parameters = list(signature.parameters.values())
    if "skip_logits" in signature.parameters:
        return signature
    extra = inspect.Parameter("skip_logits", inspect.Parameter.KEYWORD_ONLY, default=None)
    position = len(parameters) - (parameters[-1].kind is inspect.Parameter.VAR_KEYWORD)
    parameters.insert(position, extra)
    return signature.replace(parameters=parameters)


def output_types(forward: Callable) -> list:
    """The output classes in a forward's return annotation, prepared beforehand because a compiler cannot."""
    annotation = getattr(forward, "__annotations__", {}).get("return")
    candidates = getattr(annotation, "__args__", (annotation,))
    return [c for c in candidates if isinstance(c, type) and hasattr(c, "to_tuple") and hasattr(c, "logits")]


def fused_forward(model, args, kwargs):
    cls = type_beneath(model)
    innermost = forward_beneath(cls, inside=True)
    if is_model_view(model):
        return innermost(model, *args, **kwargs)
    original = forward_beneath(cls, inside=False)
    # One that calls the loss forward again does so with a stand-in, by which that knows it.
    plain = model if original is innermost else model_view(model, {})
    kwargs = named(original, args, kwargs)
    options = {name: kwargs.pop(name) for name in (*OWN_OPTIONS, *SHARED_OPTIONS) if name in kwargs}
    skip_logits = kwargs.pop("skip_logits", None)
    shift_labels = options.get("shift_labels")
    has_target = kwargs.get("labels") is not None or shift_labels is not None
    if skip_logits and not has_target and torch.is_grad_enabled():
        raise ValueError(
            "skip_logits is True, so there would be neither logits nor a loss: give labels or shift_labels as well, or "
            "leave skip_logits out"
        )
    own = sorted(name for name in OWN_OPTIONS if is_set(name, options.get(name)))
    shared = {name: value for name, value in options.items() if name in SHARED_OPTIONS}
    if not hasattr(model, HEAD):
        if own:
            raise ValueError(
                f"{', '.join(own)}: only the fused loss of a head named {HEAD} knows these options, and "
                f"{type(model).__name__} has no such head. Leave them out"
            )
        return original(plain, **kwargs, **shared)
    if not has_target:
        return original(plain, **kwargs)
    if kwargs.get("labels") is None:
        # Models ask for labels before they take a loss; the loss itself goes by shift_labels.
        kwargs["labels"] = shift_labels
    skip = model.training if skip_logits is None else bool(skip_logits)
    if skip or own:
        return run_fused(model, original, kwargs, options, skip)
    if shift_labels is None:
        return original(plain, **kwargs, **shared)
    own_loss = model.loss_function

    def loss_function(*loss_args, **loss_kwargs):
        return own_loss(*loss_args, **{**loss_kwargs, **shared})

    return original(model_view(model, {"loss_function": loss_function}), **kwargs)


def run_fused(model, original, kwargs, options, skip):
    """The model's forward with its head deferred. `options` are for the loss; `skip` leaves the logits out."""
    metrics = [None, None]

    def fuse(product, target, reduction, **loss_options):
        items = options.get("num_items_in_batch") if reduction == "mean" else None
        loss = loss_of(
            product,
            {
                **loss_options,
                **without(options, "shift_labels", "num_items_in_batch"),
                "labels": None,
                "shift_labels": target,
                "num_items_in_batch": 1 if reduction == "sum" else items,
            },
        )
        return keep_metrics(loss, metrics)

    own_loss = model.loss_function

    def loss_function(logits=None, labels=None, vocab_size=None, *loss_args, **loss_kwargs):
        merged = {**loss_kwargs, **options}
        if logits is None or not is_causal_loss(own_loss):
            return own_loss(logits, labels, vocab_size, *loss_args, **merged)
        if isinstance(logits, Deferred):
            result = loss_of(logits.product, {**merged, "labels": labels})
        else:
            result = loss_utils.causal_loss_of_logits(logits, labels, **merged)
        return keep_metrics(result, metrics)

    wanted = kwargs.pop("return_dict", None)
    if wanted is None:
        wanted = getattr(model.config, "return_dict", True)
    if not wanted:
        kwargs["return_dict"] = True
    head = deferring_head(model, original, fuse, own_loss)
    try:
        output = original(model_view(model, {**head, "loss_function": loss_function}), **kwargs)
        return finished(output, skip, metrics, wanted)
    finally:
        dismiss(head.get(HEAD))


def deferring_head(model, original, fuse, own_loss=None) -> dict:
    """The stand-in for the model's head, by its name; none where the head has to be run."""
    head = getattr(model, HEAD)
    leaf, is_known = heads.resolve(head), is_of_transformers(original) and is_causal_loss(own_loss)
    if leaf is None or (is_compiling() and not is_known):
        return {}
    vocabulary = vocabulary_of(model, head)
    parameters = None if heads.gathered_by_call(head, leaf) else tuple(head.parameters())
    logits, view = (PlainLogits, PlainHead) if is_known else (DeferredLogits, head_view)

    def defer(hidden):
        return logits.of(Product(head, hidden, vocabulary, fuse, parameters))

    return {HEAD: view(head, defer)}


def finished(output, skip, metrics, return_dict):
    """The output without deferred logits: none where they are left out, made where they are wanted."""
    if not is_dataclass(output) or not hasattr(output, "logits"):
        return output.make() if isinstance(output, Deferred) else settled(output, skip)
    # By the class's fields: torch before 2.13 does not trace an output's own dictionary.
    fields = type(output).__dataclass_fields__
    deferred = [name for name in fields if isinstance(getattr(output, name), Deferred)]
    for name in deferred:
        if not skip or name != "logits":
            setattr(output, name, getattr(output, name).make())
    if skip:
        output.logits = None
    output = with_predictions(output, *metrics)
    if return_dict:
        return output
    # The place of the logits stays, so that what follows keeps its position.
    values = [(name, getattr(output, name)) for name in type(output).__dataclass_fields__]
    return tuple(value for name, value in values if value is not None or name == "logits")


def settled(output, skip):
    """The same of an output of another kind, at any depth."""
    if isinstance(output, Deferred):
        return None if skip else output.make()
    if isinstance(output, dict):
        for name, value in output.items():
            output[name] = settled(value, skip and name == "logits")
    elif isinstance(output, (list, tuple)):
        values = [settled(value, skip) for value in output]
        return output._make(values) if hasattr(output, "_make") else type(output)(values)
    return output


def loss_of(product, options):
    """The causal loss of deferred logits: fused where the head can be taken apart, from real logits otherwise."""
    form = product.form()
    if form is not None:
        multiplier, softcap = form
        options = {**options, "final_logit_softcapping": softcap}
        if parallel.takes(product.head, product.hidden, options):
            rows = product.hidden if multiplier == 1.0 else product.hidden * multiplier
            return parallel.causal_loss(product.head, rows, **options)

        def loss(rows, weight, bias):
            if multiplier != 1.0:
                rows, bias = rows * multiplier, None if bias is None else bias * multiplier
            extra = {} if bias is None else {"bias": bias}
            return loss_utils.LigerForCausalLMLoss(
                hidden_states=rows, lm_head_weight=weight, hidden_size=rows.shape[-1], **extra, **options
            )

        done, result = heads.run_with_head(product.head, product.hidden, loss)
        if done:
            return result
    return loss_utils.causal_loss_of_logits(product.make(), **without(options, "final_logit_softcapping"))


def lce_maybe_trainable_lm_head(self, hidden_states, hidden_size, labels, shift_labels, **loss_kwargs):
    """The loss of a model's hidden states through its head, whether that is trained by PEFT or sharded by FSDP."""
    head = getattr(self, HEAD)
    deferred = PlainLogits.of(Product(head, hidden_states, vocabulary_of(self, head), fuse=None))
    softcap = loss_kwargs.pop("final_logit_softcapping", None)
    if softcap is not None:
        deferred = (deferred / softcap).tanh() * softcap
    return loss_of(deferred.product, {**loss_kwargs, "labels": labels, "shift_labels": shift_labels})


def keep_metrics(result, metrics):
    loss, _, metrics[0], metrics[1] = loss_utils.unpack_cross_entropy_result(result)
    return loss


def is_causal_loss(function) -> bool:
    """Whether this is the causal loss of transformers, which the fused one stands in for."""
    return getattr(function, "__name__", "") == "ForCausalLMLoss" and is_of_transformers(function)


def is_of_transformers(function) -> bool:
    return str(getattr(function, "__module__", "")).startswith("transformers.")


def vocabulary_of(model, head) -> int:
    size = getattr(head, "out_features", None)
    if isinstance(size, int):
        return size
    config = model.config
    return (config.get_text_config() if hasattr(config, "get_text_config") else config).vocab_size


def is_set(name, option) -> bool:
    """Whether an option asks for something; a tensor does, whatever its values, and so does a size that cannot be."""
    return torch.is_tensor(option) or bool(option) or (name in SIZES and option is not None)


def named(original, args, kwargs):
    """All arguments by name."""
    if not args:
        return dict(kwargs)
    if original not in _positional:
        _positional[original] = tuple(inspect.signature(original).parameters)[1:]
    names = _positional[original]
    if len(args) > len(names):
        raise TypeError(f"forward takes {len(names)} positional arguments after self, {len(args)} were given")
    return {**dict(zip(names, args)), **kwargs}


def without(options, *names):
    return {name: value for name, value in options.items() if name not in names}


def find_class(path: str, class_name: str):
    """The model class a loss forward belongs to, or None in a transformers that has no such model."""
    try:
        return getattr(importlib.import_module(path), class_name, None)
    except ImportError:
        return None
