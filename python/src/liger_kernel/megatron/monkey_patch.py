"""`apply_liger_kernel_to_megatron`: puts the kernels into Megatron-Core's own functions, before a model is built.

All that a switch replaces is looked up before anything is replaced, so that a Megatron of another layout is refused
as a whole. A replacement carries `__liger_patched__` and, as `__wrapped__`, what it stands for.
"""

import importlib
import logging

from typing import Any
from typing import NamedTuple

from liger_kernel.megatron.swiglu import unsupported
from liger_kernel.ops.swiglu import LigerFusedGateUpSiLUMulFunction

logger = logging.getLogger(__name__)

MARK = "__liger_patched__"

# A module, and what is in it.
FUSED_CROSS_ENTROPY = "megatron.core.fusions.fused_cross_entropy:fused_vocab_parallel_cross_entropy"
CROSS_ENTROPY = "megatron.core.tensor_parallel.cross_entropy:vocab_parallel_cross_entropy"
LAYER_NORM = "megatron.core.models.backends:LocalSpecProvider.layer_norm"
FINAL_NORM = "megatron.core.transformer.transformer_block:LayerNormImpl"
TORCH_NORM = "megatron.core.transformer.torch_norm:WrappedTorchNorm"
SWIGLU = "megatron.core.fusions.fused_bias_swiglu:SwiGLUFunction"

# Where releases of Megatron keep the function under a name of their own, from `from ... import`.
FUSED_CALLERS = (
    "megatron.core.models.common.language_module.language_module:fused_vocab_parallel_cross_entropy",
    "megatron.core.models.backends:_fused_ce",
)
CALLERS = ("megatron.core.tensor_parallel:vocab_parallel_cross_entropy",)


class Place(NamedTuple):
    """Where a name is bound: an attribute of a module or a class."""

    path: str
    holder: Any
    name: str

    @classmethod
    def find(cls, path):
        """Raises ImportError without the module, AttributeError without the name."""
        module, _, names = path.partition(":")
        *classes, name = names.split(".")
        holder = importlib.import_module(module)
        for part in classes:
            holder = getattr(holder, part)
        getattr(holder, name)
        return cls(path.replace(":", "."), holder, name)

    @property
    def value(self):
        return getattr(self.holder, self.name)

    @property
    def is_patched(self):
        return getattr(self.value, MARK, False)

    def put(self, replacement):
        setattr(replacement, MARK, True)
        replacement.__wrapped__ = self.value
        setattr(self.holder, self.name, replacement)
        logger.info("Patched %s", self.path)


def apply_liger_kernel_to_megatron(
    rms_norm: bool = True, cross_entropy: bool = False, swiglu: bool = False
) -> None:
    """Replaces Megatron-Core's functions by the kernels; models that are built afterwards run them.

    rms_norm: the norms of the local (not Transformer Engine) layer specification, and the block's final norm where it
    is torch's. cross_entropy: both vocabulary-parallel ones, fused and not, at any tensor-parallel size. swiglu: the
    activation of dense layers and shared experts without a bias, fp8 storage or offloading.
    A second call changes nothing. Raises ImportError without Megatron, or where it has none of these names.
    """
    norms = [required(path, "rms_norm") for path in (LAYER_NORM, FINAL_NORM, TORCH_NORM) if rms_norm]
    losses = [required(path, "cross_entropy") for path in (FUSED_CROSS_ENTROPY, CROSS_ENTROPY) if cross_entropy]
    gates = [required(SWIGLU, "swiglu")] if swiglu else []
    if norms:
        replace_layer_norm(norms[0])
        replace_final_norm(norms[1], norms[2].value)
    if losses:
        replace_fused_cross_entropy(losses[0])
        replace_cross_entropy(losses[1])
    for gate in gates:
        replace_swiglu(gate)


def required(path: str, switch: str) -> Place:
    """The place of a path. Raises ImportError, naming the switch that needs it."""
    name = path.replace(":", ".")
    try:
        return Place.find(path)
    except ImportError as error:
        raise ImportError(
            f"apply_liger_kernel_to_megatron({switch}=True) requires megatron-core, of which it replaces {name}: "
            f"{error}"
        ) from error
    except AttributeError as error:
        raise ImportError(
            f"apply_liger_kernel_to_megatron({switch}=True): this megatron-core has no {name}; the symbol path may "
            f"have changed in your version. Leave {switch} out"
        ) from error


def rebind(callers, original, replacement) -> bool:
    """Replaces the copies that callers hold of a function; another function there is left. Whether any holds it now."""
    reached = False
    for path in callers:
        try:
            place = Place.find(path)
        except (ImportError, AttributeError):
            continue
        if place.value is original:
            setattr(place.holder, place.name, replacement)
        reached = reached or place.value is replacement
    return reached


def replace_layer_norm(place: Place) -> None:
    from liger_kernel.megatron.rms_norm import LigerMegatronRMSNorm

    if place.is_patched:
        return
    original = place.value

    def patched_layer_norm(self, rms_norm=False, *args, **kwargs):
        return LigerMegatronRMSNorm if rms_norm else original(self, rms_norm, *args, **kwargs)

    place.put(patched_layer_norm)


def replace_final_norm(place: Place, torch_norm) -> None:
    """The block's final norm, where it is torch's: Transformer Engine's and Apex's were chosen by the user."""
    from liger_kernel.megatron.rms_norm import LigerMegatronRMSNorm

    if place.is_patched:
        return
    original = place.value
    if original is not torch_norm:
        logger.info("%s is %s and is left", place.path, getattr(original, "__name__", original))
        return

    class _LigerOrTorchNorm:
        """An RMSNorm of the kernels where the configuration asks for one, else the norm that was there."""

        def __new__(cls, config, *args, **kwargs):
            is_rms_norm = getattr(config, "normalization", None) == "RMSNorm"
            return (LigerMegatronRMSNorm if is_rms_norm else original)(config, *args, **kwargs)

    place.put(_LigerOrTorchNorm)


def replace_fused_cross_entropy(place: Place) -> None:
    from liger_kernel.megatron.cross_entropy import LigerMegatronCrossEntropy

    if place.is_patched:
        return
    original, loss = place.value, LigerMegatronCrossEntropy()

    def liger_fused_vocab_parallel_cross_entropy(vocab_parallel_logits, target, tp_group=None):
        return loss(vocab_parallel_logits, target, tp_group=tp_group)

    place.put(liger_fused_vocab_parallel_cross_entropy)
    if not rebind(FUSED_CALLERS, original, liger_fused_vocab_parallel_cross_entropy):
        logger.warning(
            "Could not find where this Megatron version calls fused_vocab_parallel_cross_entropy: models with "
            "cross_entropy_loss_fusion=True may keep Megatron's own"
        )


def replace_cross_entropy(place: Place) -> None:
    from liger_kernel.megatron.cross_entropy import LigerMegatronCrossEntropy

    if place.is_patched:
        return
    original = place.value
    # Modules by the smoothing a caller gives. None: it gives none.
    losses = {None: LigerMegatronCrossEntropy()}

    def liger_vocab_parallel_cross_entropy(vocab_parallel_logits, target, label_smoothing=None, tp_group=None):
        if label_smoothing not in losses:
            losses[label_smoothing] = LigerMegatronCrossEntropy(label_smoothing=label_smoothing)
        return losses[label_smoothing](vocab_parallel_logits, target, tp_group=tp_group)

    place.put(liger_vocab_parallel_cross_entropy)
    rebind(CALLERS, original, liger_vocab_parallel_cross_entropy)


def replace_swiglu(place: Place) -> None:
    """Megatron's autograd Function; `bias_swiglu_impl` looks it up at each call, and its other Functions stay."""
    if place.is_patched:
        return
    original, logged = place.value, set()

    class _LigerSwiGLUFunction:
        """`apply` as Megatron calls it: calls that the kernel does not take go to the Function that was there."""

        @staticmethod
        def apply(input, fp8_input_store=False, cpu_offload_input=False):
            reason = unsupported(None, fp8_input_store, cpu_offload_input)
            if reason is None:
                return LigerFusedGateUpSiLUMulFunction.apply(input, False)
            if reason not in logged:
                logged.add(reason)
                logger.info("SwiGLU stays with Megatron's SwiGLUFunction: %s", reason)
            return original.apply(input, fp8_input_store, cpu_offload_input)

    place.put(_LigerSwiGLUFunction)
