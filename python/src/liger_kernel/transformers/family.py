"""What the row of a model family says, and the shapes that most rows have."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field
from typing import Mapping
from typing import Optional
from typing import Tuple

FLCE = "fused_linear_cross_entropy"

# Flags in the order of the functions' parameters.
STANDARD = {"rope": True, "cross_entropy": False, "fused_linear_cross_entropy": True, "rms_norm": True, "swiglu": True}
GEGLU = {"rope": True, "cross_entropy": False, "fused_linear_cross_entropy": True, "rms_norm": True, "geglu": True}

# Those of models that have `nn.LayerNorm`s too, in the vision tower.
NORMED = {
    "rope": True,
    "cross_entropy": False,
    "fused_linear_cross_entropy": True,
    "layer_norm": True,
    "rms_norm": True,
    "swiglu": True,
}
NORMED_GEGLU = {**{name: value for name, value in NORMED.items() if name != "swiglu"}, "geglu": True}


@dataclass(frozen=True)
class Norm:
    """A normalisation kernel: the class that replaces a class, and what re-binding an instance sets on it.

    `offset` is added to the weight; `casting` says where the row is rounded (see `LigerRMSNorm`).
    """

    kernel: str
    offset: float = 0.0
    casting: str = "llama"
    in_place: bool = True
    # Of modules without a weight, where it is another than theirs.
    weightless: Optional[str] = None


PLAIN = Norm("LigerRMSNorm")
GEMMA = Norm("LigerRMSNormForGemma", 1.0, "gemma")
GEMMA2 = Norm("LigerRMSNormForGemma2", 1.0, "gemma", False)
GEMMA3 = Norm("LigerRMSNormForGemma3", 1.0, "gemma", False)
GEMMA4 = Norm("LigerRMSNormForGemma4", 0.0, "gemma", False, "LigerRMSNormWithoutWeight")
QWEN3_NEXT = Norm("LigerRMSNormForQwen3Next", 1.0, "gemma", False)
OLMO2 = Norm("LigerRMSNormForOlmo2", in_place=False)
GLM4 = Norm("LigerRMSNormForGlm4", in_place=False)
EXAONE4 = Norm("LigerRMSNormForOlmo2", in_place=False)
MUSE = Norm("LigerRMSNormForMuseGlimmer", 0.0, "gemma", False)
MUSE_CENTERED = Norm("LigerRMSNormForMuseGlimmerTextCentered", 1.0, "gemma", False)

ROPE = {"apply_rotary_pos_emb": "liger_rotary_pos_emb"}
MROPE = {**ROPE, "apply_multimodal_rotary_pos_emb": "liger_multimodal_rotary_pos_emb"}
VISION_ROPE = {**ROPE, "apply_rotary_pos_emb_vision": "liger_rotary_pos_emb_vision"}


@dataclass(frozen=True)
class Family:
    """The leaves of one model family. Mappings go from a name in the modeling module to a kernel of this package."""

    name: str
    directory: str
    model_types: Tuple[str, ...]
    flags: Mapping[str, bool] = field(default_factory=lambda: STANDARD)
    # Flags that stand behind `model` among the function's parameters.
    after_model: Tuple[str, ...] = ()
    rope: Mapping[str, str] = field(default_factory=dict)
    norms: Mapping[str, Norm] = field(default_factory=dict)
    mlps: Mapping[str, str] = field(default_factory=dict)
    experts: Tuple[str, ...] = ()
    activations: Mapping[str, str] = field(default_factory=dict)
    # (directory of the class, or None for this family's, ...) whose `nn.LayerNorm`s are replaced.
    layer_norms: Tuple[str, ...] = ()
    # Classes with a head: class name -> (module, function) of its loss forward.
    heads: Mapping[str, Tuple[str, str]] = field(default_factory=dict)
    # Families of the towers: by name, and by the model type of the configurations named here.
    towers: Tuple[str, ...] = ()
    tower_configs: Tuple[str, ...] = ()
    # The classes that an instance may have, and the error for any other.
    instances: Tuple[str, ...] = ()
    refusal: Optional[type] = None
    # Flags that cannot be turned on: name -> what to say. `inert` flags warn, `refused` ones raise.
    refused: Mapping[str, str] = field(default_factory=dict)
    inert: Mapping[str, str] = field(default_factory=dict)
    takes_more: bool = False


NO_ROPE = {"rope": "{name} rotates interleaved pairs or part of a head, for which there is no kernel; pass rope=False"}
INERT_ROPE = {"rope": "{name} keeps its own rotary embedding: there is no kernel for its layout"}


def family(name, prefix, *, rope=ROPE, norm=PLAIN, mlp="LigerSwiGLUMLP", directory=None, head=None, **more):
    """A row of the common shape: `<prefix>RMSNorm`, `<prefix>MLP` and `<prefix>ForCausalLM`."""
    directory = directory or name
    row = {
        "model_types": (name,),
        "rope": rope,
        "norms": {f"{prefix}RMSNorm": norm},
        "mlps": {f"{prefix}MLP": mlp} if mlp else {},
        "heads": {f"{prefix}ForCausalLM": (head or directory, "lce_forward")},
    }
    return Family(name, directory, **{**row, **more})


def without_rope(flags=STANDARD, **changes):
    return {**flags, "rope": False, **changes}


def vision_language(name, prefix, text, *, flags=STANDARD, model_types=None, **more):
    """A row of a model with a vision tower whose classes start with `prefix`."""
    head = f"{prefix}ForConditionalGeneration"
    row = {
        "model_types": model_types or (name, f"{name}_text"),
        "flags": flags,
        "heads": {head: (name, "lce_forward")},
        "instances": (head, f"{prefix}Model", *text),
        "refusal": TypeError,
    }
    return Family(name, more.pop("directory", name), **{**row, **more})
