"""Public names by the module that has them: what packages offer whose names live elsewhere. A line an operation."""

# Of `liger_kernel.ops`, imported with it.
OPS = {
    "attn_res": ["LigerAttnResFunction", "attn_res_backward", "attn_res_forward"],
    "cross_entropy": ["LigerCrossEntropyFunction", "cross_entropy_backward", "cross_entropy_forward"],
    "dyt": ["LigerDyTFunction"],
    "experimental.embedding": ["LigerEmbeddingFunction"],
    "fused_add_rms_norm": [
        "LigerFusedAddRMSNormFunction",
        "fused_add_rms_norm_backward",
        "fused_add_rms_norm_forward",
    ],
    "fused_ce_tvd": ["LigerFusedCETVDFunction", "fused_ce_tvd_backward", "fused_ce_tvd_forward"],
    "fused_linear_cross_entropy": [
        "LigerFusedLinearCrossEntropyFunction",
        "fused_linear_cross_entropy_backward",
        "fused_linear_cross_entropy_forward",
    ],
    "fused_neighborhood_attention": ["LigerFusedNeighborhoodAttentionFunction"],
    "geglu": ["LigerGELUMulFunction", "geglu_backward", "geglu_forward"],
    "group_norm": ["LigerGroupNormFunction", "group_norm_backward", "group_norm_forward"],
    "jsd": ["LigerJSDFunction", "jsd_backward", "jsd_forward"],
    "kl_div": ["LigerKLDivLossFunction"],
    "layer_norm": ["LigerLayerNormFunction", "layer_norm_backward", "layer_norm_forward"],
    "llama4_rope": ["LigerLlama4RopeFunction"],
    "mhc": ["LigerMHCCoeffsFunction", "LigerMHCPostResFunction", "LigerMHCPreFunction"],
    "mlp": ["LigerMLPFunction"],
    "modulated_rms_norm": [
        "LigerModulatedRMSNormFunction",
        "modulated_rms_norm_backward",
        "modulated_rms_norm_forward",
    ],
    "multi_token_attention": ["LigerMultiTokenAttentionFunction"],
    "poly_norm": ["LigerPolyNormFunction", "poly_norm_backward", "poly_norm_forward"],
    "qwen2vl_mrope": ["LigerQwen2VLMRopeFunction"],
    "relu_squared": ["LigerReLUSquaredFunction", "relu_squared_backward", "relu_squared_forward"],
    "rms_norm": ["LigerRMSNormFunction", "rms_norm_backward", "rms_norm_forward"],
    "rope": ["LigerRopeFunction", "rope_backward", "rope_forward"],
    "softmax": ["LigerSoftmaxFunction"],
    "sparsemax": ["LigerSparsemaxFunction"],
    "tiled_mlp": ["LigerTiledMLPFunction", "apply_tiled_mlp"],
    "swiglu": ["LigerFusedGateUpSiLUMulFunction", "LigerSiLUMulFunction", "swiglu_backward", "swiglu_forward"],
    "tvd": ["LigerTVDLossFunction"],
}

# Of `liger_kernel.ops`, imported when used: they load torch's compiler, which takes a second.
LATE_OPS = {
    "fused_linear_jsd": [
        "LigerFusedLinearJSDFunction",
        "fused_linear_jsd_backward",
        "fused_linear_jsd_forward",
    ],
    "fused_linear_kl_div": [
        "LigerFusedLinearKLDivFunction",
        "fused_linear_kl_div_backward",
        "fused_linear_kl_div_forward",
    ],
    "fused_linear_scaled_cross_entropy": [
        "LigerFusedLinearScaledCrossEntropyFunction",
        "LigerFusedLinearScaledCrossEntropyTPFunction",
    ],
    "fused_linear_score_centering": [
        "ISCorrection",
        "LigerFusedLinearScoreCenteringFunction",
        "fused_linear_score_centering",
    ],
    "fused_moe": ["LigerFusedMoEFunction"],
    "grpo_loss": ["GrpoLossFunction"],
    "vocab_parallel_cross_entropy": ["LigerVocabParallelCEFunction"],
}

# Of `liger_kernel.transformers`, imported when used.
MODULES = {
    "cross_entropy": ["LigerCrossEntropyLoss"],
    "dyt": ["LigerDyT"],
    "fused_add_rms_norm": ["LigerFusedAddRMSNorm"],
    "fused_ce_tvd": ["LigerFusedCETVDLoss"],
    "fused_linear_cross_entropy": ["LigerFusedLinearCrossEntropyLoss"],
    "fused_linear_kl_div": ["LigerFusedLinearKLDivLoss"],
    "fused_linear_jsd": ["LigerFusedLinearJSD"],
    "fused_linear_score_centering": ["ISCorrection", "LigerFusedLinearScoreCenteringLoss"],
    "geglu": ["LigerGEGLUMLP"],
    "jsd": ["LigerJSD"],
    "kl_div": ["LigerKLDIVLoss"],
    "layer_norm": ["LigerLayerNorm"],
    "llama4_rope": ["liger_llama4_text_rotary_pos_emb", "liger_llama4_vision_rotary_pos_emb"],
    "mhc": ["LigerMHC"],
    "mlp": ["LigerFalconH1MLP", "LigerMLP"],
    "modulated_rms_norm": ["LigerModulatedRMSNorm"],
    "multi_token_attention": ["LigerMultiTokenAttention"],
    "poly_norm": ["LigerPolyNorm"],
    "relu_squared": ["LigerReLUSquared"],
    "rms_norm": ["LigerRMSNorm", "LigerRMSNormForMuseGlimmer", "LigerRMSNormForMuseGlimmerTextCentered"],
    "rope": ["liger_rotary_pos_emb"],
    "softmax": ["LigerSoftmax"],
    "sparsemax": ["LigerSparsemax"],
    "tiled_mlp": ["LigerTiledGEGLUMLP", "LigerTiledSwiGLUMLP"],
    "tvd": ["LigerTVDLoss"],
    "swiglu": [
        "LigerBlockSparseTop2MLP",
        "LigerFalconH1SwiGLUMLP",
        "LigerPhi3SwiGLUMLP",
        "LigerQwen3MoeSwiGLUMLP",
        "LigerSwiGLUMLP",
        "LigerSwiGLUMLPForMuseGlimmer",
    ],
}

# Of `liger_kernel.transformers.functional` and the modules of `liger_kernel.transformers`, imported when used.
FUNCTIONS = {
    "attn_res": ["liger_attn_res"],
    "fused_neighborhood_attention": ["liger_fused_neighborhood_attention"],
    "mhc": [
        "liger_mhc_apply", "liger_mhc_coeffs", "liger_mhc_forward", "liger_mhc_post_res", "liger_mhc_pre",
    ],
    "modulated_rms_norm": ["liger_modulated_rms_norm"],
    "multi_token_attention": ["liger_multi_token_attention"],
    "poly_norm": ["liger_poly_norm"],
    "sparsemax": ["liger_sparsemax"],
}


def module_of(name, modules):
    """The module that has a public name; None if none has."""
    return next((module for module, names in modules.items() if name in names), None)
