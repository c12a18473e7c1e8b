"""Losses of preference, policy and distillation without the logits: as modules; `functional` has them as functions."""

from liger_kernel.chunked_loss.cosine_similarity_loss import (
    LigerFusedLinearCosineSimilarityLoss as LigerFusedLinearCosineSimilarityLoss,
)
from liger_kernel.chunked_loss.cpo_loss import LigerFusedLinearCPOLoss as LigerFusedLinearCPOLoss
from liger_kernel.chunked_loss.dpo_loss import LigerFusedLinearDPOLoss as LigerFusedLinearDPOLoss
from liger_kernel.chunked_loss.grpo_loss import LigerFusedLinearGRPOLoss as LigerFusedLinearGRPOLoss
from liger_kernel.chunked_loss.jsd_loss import LigerFusedLinearJSDLoss as LigerFusedLinearJSDLoss
from liger_kernel.chunked_loss.kto_loss import LigerFusedLinearKTOLoss as LigerFusedLinearKTOLoss
from liger_kernel.chunked_loss.orpo_loss import LigerFusedLinearORPOLoss as LigerFusedLinearORPOLoss
from liger_kernel.chunked_loss.simpo_loss import LigerFusedLinearSimPOLoss as LigerFusedLinearSimPOLoss
