"""The losses as functions; arguments in the order of each Function's `forward`, or by name."""

import inspect

from liger_kernel.chunked_loss.cosine_similarity_loss import LigerFusedLinearCosineSimilarityFunction
from liger_kernel.chunked_loss.cpo_loss import LigerFusedLinearCPOFunction
from liger_kernel.chunked_loss.dpo_loss import LigerFusedLinearDPOFunction
from liger_kernel.chunked_loss.grpo_loss import LigerFusedLinearGRPOFunction
from liger_kernel.chunked_loss.jsd_loss import LigerFusedLinearJSDFunction
from liger_kernel.chunked_loss.kto_loss import LigerFusedLinearKTOFunction
from liger_kernel.chunked_loss.orpo_loss import LigerFusedLinearORPOFunction
from liger_kernel.chunked_loss.simpo_loss import LigerFusedLinearSimPOFunction


def _function(name, loss):
    """A loss's `apply`, with the signature and the description that help() shows."""
    of_forward = inspect.signature(loss.forward)
    # The context is no argument.
    signature = of_forward.replace(parameters=list(of_forward.parameters.values())[1:])

    def run(*arguments, **named):
        if named:
            bound = signature.bind(*arguments, **named)
            bound.apply_defaults()
            arguments = bound.args
        return loss.apply(*arguments)

    run.__name__ = run.__qualname__ = name
    run.__signature__, run.__doc__ = signature, loss.__doc__
    return run


liger_fused_linear_cosine = _function("liger_fused_linear_cosine", LigerFusedLinearCosineSimilarityFunction)
liger_fused_linear_cpo = _function("liger_fused_linear_cpo", LigerFusedLinearCPOFunction)
liger_fused_linear_dpo = _function("liger_fused_linear_dpo", LigerFusedLinearDPOFunction)
liger_fused_linear_grpo = _function("liger_fused_linear_grpo", LigerFusedLinearGRPOFunction)
liger_fused_linear_jsd = _function("liger_fused_linear_jsd", LigerFusedLinearJSDFunction)
liger_fused_linear_kto = _function("liger_fused_linear_kto", LigerFusedLinearKTOFunction)
liger_fused_linear_orpo = _function("liger_fused_linear_orpo", LigerFusedLinearORPOFunction)
liger_fused_linear_simpo = _function("liger_fused_linear_simpo", LigerFusedLinearSimPOFunction)
