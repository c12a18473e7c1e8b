"""What is wrong with an operation's inputs, in a user's words: looked for once the library has refused them."""

import math

import torch

_WHOLE = (torch.int32, torch.int64)
# Inputs that are whole numbers, and what each element is of.
_NUMBERS = {
    "labels": "row", "likelihood_labels": "row", "second_labels": "row", "tokens": "token", "preferences": "answer",
}  # fmt: skip
# Inputs that take part in arithmetic, whatever an operation's first one is of.
_FACTORS = ("weight", "bias", "gamma", "beta", "alpha", "scale", "shift", "norm", "query", "cos", "sin")
_LAYERS = {"reference_input": "the reference model's", "teacher_input": "the teacher's"}


def reason(operation, inputs):
    """A sentence on inputs, (name, shape, strides, dtype) each with the operation's first one first; None for no known
    mistake."""
    for name, _, _, dtype in inputs:
        if name in _FACTORS and not dtype.is_floating_point:
            return (
                f"{operation}: the {name} is {dtype} and must be torch.float32, torch.bfloat16 or torch.float16. "
                "Convert it first; codes of a quantisation have to be expanded by the library that made them"
            )
    first, rows, *_ = inputs[0]
    if any(name == "weight" and (len(shape) != 2 or shape[1] != rows[-1]) for name, shape, *_ in inputs):
        # Of the layer itself, which the library says.
        return None
    for name, shape, _, dtype in inputs:
        # Truth values, as of preferences, are bytes to the library.
        if name in _NUMBERS and dtype not in (*_WHOLE, *[torch.uint8] * (_NUMBERS[name] == "answer")):
            return (
                f"{operation}: the {_words(name)} are {dtype} and must be whole numbers, torch.int64 or torch.int32. "
                f"Give class numbers, such as {name}.long()"
            )
        if name in _LAYERS and shape[:-1] != rows[:-1]:
            return (
                f"{operation}: {_LAYERS[name]} input has shape {shape}, for an {first} of shape {rows}. Give it the "
                "same answers: all dimensions but the last must be equal"
            )
    for name, shape, _, _ in inputs:
        kind = _NUMBERS.get(name)
        count = rows[0] if kind == "answer" else math.prod(rows[:-1])
        if kind in ("row", "answer") and math.prod(shape) != count:
            return (
                f"{operation}: the {_words(name)} have shape {shape}, {math.prod(shape)} in all, and the {first} of "
                f"shape {rows} has {count} {kind}s. Give one for each {kind}"
            )
    if len(rows) == 3 and 0 in rows[:2] and any(name in ("labels", "tokens") for name, *_ in inputs):
        return f"{operation}: the {first} has shape {rows}, without an answer's token. Skip a batch that has none"
    return None


def _words(name):
    return name.replace("_", " ")
