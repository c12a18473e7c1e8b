"""Makes tiny random decoders and PEFT adapters of them, and records what PyTorch computes with both.

Usage: python adapter_fixture.py OUTPUT_FOLDER

For each variant a folder with `base` (a checkpoint), `adapter` (PEFT's files) and `step.safetensors`: `input_ids`,
`labels`, `logits`, and the gradient of every number of the adapter.
"""

import sys
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM

BASES = {
    "llama": dict(model_type="llama", num_key_value_heads=2, attention_bias=True),
    "phi3": dict(
        model_type="phi3", num_key_value_heads=2, pad_token_id=7, bos_token_id=1, eos_token_id=2,
        original_max_position_embeddings=64),
    "mixtral": dict(model_type="mixtral", num_key_value_heads=2, num_local_experts=3, num_experts_per_tok=2),
    # A block without experts, whose layers PEFT cannot name.
    "qwen3_moe": dict(
        model_type="qwen3_moe", num_key_value_heads=2, head_dim=8, num_experts=5, num_experts_per_tok=2,
        moe_intermediate_size=12, mlp_only_layers=[1]),
}
EXPERTS = ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]
VARIANTS = {
    "all": ("llama", dict(r=4, lora_alpha=7, target_modules="all-linear")),
    "named": ("llama", dict(r=3, lora_alpha=5, target_modules=["q_proj", "mlp.down_proj"])),
    "pattern": ("llama", dict(r=3, lora_alpha=5, target_modules=r".*layers\.1\..*(gate|o)_proj")),
    "chosen": ("llama", dict(
        r=3, lora_alpha=5, target_modules=["k_proj", "up_proj"], layers_to_transform=[1], layers_pattern="layers")),
    "excluded": ("llama", dict(r=3, lora_alpha=5, target_modules="all-linear", exclude_modules=r".*\.0\.mlp.*")),
    "stabilised": ("llama", dict(r=4, lora_alpha=7, target_modules="all-linear", use_rslora=True)),
    "decomposed": ("llama", dict(r=4, lora_alpha=7, target_modules="all-linear", use_dora=True)),
    "experts": ("mixtral", dict(r=4, lora_alpha=7, target_modules=["q_proj"], target_parameters=EXPERTS)),
    "downs": ("qwen3_moe", dict(
        r=3, lora_alpha=5, target_modules=[], target_parameters=["experts.down_proj"], use_rslora=True)),
    "routers": ("qwen3_moe", dict(
        r=2, lora_alpha=5, target_modules=["v_proj"], target_parameters=["gate.weight", "experts.gate_up_proj"])),
    # Gates and ups get twice the rank and alpha.
    "mixtral-all": ("mixtral", dict(r=3, lora_alpha=7, target_modules="all-linear")),
    "qwen3-moe-all": ("qwen3_moe", dict(r=3, lora_alpha=7, target_modules="all-linear")),
    "joint": ("phi3", dict(r=4, lora_alpha=7, target_modules=["qkv_proj", "gate_up_proj"])),
}


def base(options):
    config = AutoConfig.for_model(
        vocab_size=97, hidden_size=32, intermediate_size=44, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=64, **options)
    return AutoModelForCausalLM.from_config(config, attn_implementation="eager", experts_implementation="eager")


def main(root):
    torch.set_num_threads(1)
    for name, (family, options) in VARIANTS.items():
        torch.manual_seed(5)
        folder = root / name
        model = base(BASES[family])
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.normal_(0, 0.2)
        model.save_pretrained(folder / "base")
        model = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", lora_dropout=0.0, **options))
        with torch.no_grad():
            for key, parameter in model.named_parameters():
                if "lora_B" in key:
                    parameter.normal_(0, 0.3)
                elif "lora_magnitude" in key:
                    parameter.mul_(1 + 0.3 * torch.rand_like(parameter))
        model.save_pretrained(folder / "adapter")
        ids, labels = torch.randint(0, 97, (2, 15)), torch.randint(0, 97, (2, 15))
        logits = model(input_ids=ids).logits
        torch.nn.functional.cross_entropy(logits.reshape(-1, 97), labels.reshape(-1)).backward()
        tensors = dict(input_ids=ids, labels=labels, logits=logits.detach())
        for key, parameter in model.named_parameters():
            if parameter.requires_grad:
                short = key.removeprefix("base_model.model.").replace(".default", "")
                short = short.replace("lora_magnitude_vector.weight", "lora_magnitude_vector")
                tensors["gradient." + short] = parameter.grad
        save_file({key: value.contiguous() for key, value in tensors.items()}, folder / "step.safetensors")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
