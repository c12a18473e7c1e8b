"""`AutoModelForCausalLM` that patches the classes of a model's family before it is made."""

from __future__ import annotations

import inspect
import logging

from transformers import AutoConfig
from transformers import AutoModelForCausalLM

from liger_kernel.transformers.monkey_patch import MODEL_TYPE_TO_APPLY_LIGER_FN
from liger_kernel.transformers.monkey_patch import _apply_liger_kernel

logger = logging.getLogger(__name__)


class AutoLigerKernelForCausalLM(AutoModelForCausalLM):
    """Loads a model with the kernels of its family in place. Switches (`swiglu=False`) go in among the arguments."""

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, *model_args, **kwargs):
        config = AutoConfig.from_pretrained(pretrained_model_name_or_path, **kwargs)
        rest = patched(getattr(config, "model_type", None), kwargs)
        return super().from_pretrained(pretrained_model_name_or_path, *model_args, **rest)

    @classmethod
    def from_config(cls, config, **kwargs):
        model_type = getattr(config, "model_type", None)
        if not model_type:
            logger.warning("Nothing was patched with Liger kernels: the model's configuration has no model_type")
            return super().from_config(config, **kwargs)
        return super().from_config(config, **patched(model_type, kwargs))


def patched(model_type, kwargs: dict) -> dict:
    """Patches the family's classes and returns the arguments that are not its switches."""
    _apply_liger_kernel(model_type, **kwargs)
    function = MODEL_TYPE_TO_APPLY_LIGER_FN.get(model_type)
    if function is None:
        return kwargs
    switches = inspect.signature(function).parameters
    return {name: value for name, value in kwargs.items() if name not in switches}
