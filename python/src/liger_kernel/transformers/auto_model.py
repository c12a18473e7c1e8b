"""`AutoModelForCausalLM` that patches the classes of a model's family before it is made."""

from __future__ import annotations

import json
import logging

from transformers import AutoConfig
from transformers import AutoModelForCausalLM
from transformers.utils import find_adapter_config_file

from liger_kernel.transformers.monkey_patch import MODEL_TYPE_TO_APPLY_LIGER_FN
from liger_kernel.transformers.monkey_patch import _apply_liger_kernel
from liger_kernel.transformers.monkey_patch import known_arguments

logger = logging.getLogger(__name__)


class AutoLigerKernelForCausalLM(AutoModelForCausalLM):
    """Loads a model with the kernels of its family in place. Switches (`swiglu=False`) go in among the arguments.

    Models are made by `AutoModelForCausalLM` itself, as code that comes with a checkpoint is named after that class.
    """

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, *model_args, **kwargs):
        rest = patched(model_type_of(pretrained_model_name_or_path, kwargs), kwargs)
        return AutoModelForCausalLM.from_pretrained(pretrained_model_name_or_path, *model_args, **rest)

    @classmethod
    def from_config(cls, config, **kwargs):
        model_type = getattr(config, "model_type", None)
        if not model_type:
            logger.warning("Nothing was patched with Liger kernels: the model's configuration has no model_type")
            return AutoModelForCausalLM.from_config(config, **kwargs)
        return AutoModelForCausalLM.from_config(config, **patched(model_type, kwargs))


HUB_OPTIONS = ("cache_dir", "force_download", "local_files_only", "proxies", "revision", "subfolder", "token")


def model_type_of(path, kwargs: dict):
    """The model type of a checkpoint, or of the model that an adapter of PEFT is for."""
    given = kwargs.get("config")
    if hasattr(given, "model_type"):
        return given.model_type
    try:
        config = AutoConfig.from_pretrained(path, **kwargs)
    except (OSError, ValueError):
        adapter = find_adapter_config_file(path, **{name: kwargs[name] for name in HUB_OPTIONS if name in kwargs})
        if adapter is None:
            raise
        with open(adapter, encoding="utf-8") as file:
            config = AutoConfig.from_pretrained(json.load(file)["base_model_name_or_path"], **kwargs)
    return getattr(config, "model_type", None)


def patched(model_type, kwargs: dict) -> dict:
    """Patches the family's classes and returns the arguments that are not its switches."""
    _apply_liger_kernel(model_type, **kwargs)
    function = MODEL_TYPE_TO_APPLY_LIGER_FN.get(model_type)
    if function is None:
        return kwargs
    switches = known_arguments(function, kwargs)
    return {name: value for name, value in kwargs.items() if name not in switches}
