"""Output classes: each is a model's own class with the token accuracy and the predicted tokens added.

They are made from the class a forward returns, once per class; `LigerCausalLMOutputWithPast` and its relatives can be
imported from here by name.
"""

from __future__ import annotations

import importlib
import sys

from dataclasses import dataclass
from dataclasses import fields
from typing import Any
from typing import Optional

# Classes that live in one model's module.
HOMES = {
    "Gemma3": "gemma3",
    "Gemma4": "gemma4",
    "Glm4vMoe": "glm4v_moe",
    "Llava": "llava",
    "InternVL": "internvl",
    "MuseGlimmer": "muse_glimmer",
    "PaliGemma": "paligemma",
    "Qwen2_5_VL": "qwen2_5_vl",
    "Qwen2VL": "qwen2_vl",
    "Qwen3VL": "qwen3_vl",
    "Qwen3VLMoe": "qwen3_vl_moe",
    "Qwen3_5": "qwen3_5",
    "Qwen3_5Moe": "qwen3_5_moe",
}

SUFFIX = "CausalLMOutputWithPast"

_made: dict = {}


def liger_output_class(cls: type) -> type:
    """The subclass of a transformers output class that also carries `token_accuracy` and `predicted_tokens`."""
    if cls in _made:
        return _made[cls]
    if all(hasattr(cls, name) for name in ("token_accuracy", "predicted_tokens")):
        return cls
    name = f"Liger{cls.__name__}"
    body = {
        "__annotations__": {"token_accuracy": Optional[Any], "predicted_tokens": Optional[Any]},
        "__module__": __name__,
        "__doc__": f"`{cls.__name__}` with the share of right predictions and the predicted tokens.",
        "token_accuracy": None,
        "predicted_tokens": None,
    }
    made = dataclass(type(cls)(name, (cls,), body))
    _made[cls] = made
    # A pickled output finds its class again by this name.
    setattr(sys.modules[__name__], name, made)
    return made


def with_predictions(output, token_accuracy, predicted_tokens):
    """A copy of a forward's output in the class above."""
    cls = liger_output_class(type(output))
    values = {field.name: getattr(output, field.name) for field in fields(output)}
    values.update(token_accuracy=token_accuracy, predicted_tokens=predicted_tokens)
    return cls(**values)


def __getattr__(name: str):
    if not name.startswith("Liger") or not name.endswith(SUFFIX):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    wanted = name[len("Liger") :]
    home = HOMES.get(wanted[: -len(SUFFIX)])
    # Releases of transformers differ in whether a model has a class of its own or returns one that models share.
    names = (wanted, f"Moe{SUFFIX}", SUFFIX) if home else (wanted,)
    path = f"transformers.models.{home}.modeling_{home}" if home else "transformers.modeling_outputs"
    try:
        module = importlib.import_module(path)
    except ImportError as error:
        raise AttributeError(f"this version of transformers has no {wanted}: {error}") from error
    cls = next((getattr(module, name) for name in names if hasattr(module, name)), None)
    if cls is None:
        raise AttributeError(f"this version of transformers has no {wanted} in {path}")
    return liger_output_class(cls)
