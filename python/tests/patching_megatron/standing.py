"""A package of Megatron-Core's layout, for tests of what is replaced in it: its names, and what calls them."""

FILES = {
    "megatron/core/models/backends.py": """
class LocalSpecProvider:
    def layer_norm(self, rms_norm=False, for_qk=False):
        return ("megatron", rms_norm, for_qk)
""",
    "megatron/core/models/common/language_module/language_module.py": """
from megatron.core import tensor_parallel
from megatron.core.fusions.fused_cross_entropy import fused_vocab_parallel_cross_entropy

def loss(logits, labels, is_fused):
    if is_fused:
        return fused_vocab_parallel_cross_entropy(logits, labels, None)
    return tensor_parallel.vocab_parallel_cross_entropy(logits, labels)
""",
    "megatron/core/fusions/fused_cross_entropy.py": """
def fused_vocab_parallel_cross_entropy(vocab_parallel_logits, target, tp_group):
    return "megatron"
""",
    "megatron/core/tensor_parallel/__init__.py": "from .cross_entropy import vocab_parallel_cross_entropy\n",
    "megatron/core/tensor_parallel/cross_entropy.py": """
def vocab_parallel_cross_entropy(vocab_parallel_logits, target, label_smoothing=0.0):
    return "megatron"
""",
    "megatron/core/transformer/torch_norm.py": """
class WrappedTorchNorm:
    def __new__(cls, config, hidden_size, eps=1e-5):
        return ("megatron", hidden_size)
""",
    "megatron/core/transformer/transformer_block.py": """
from megatron.core.transformer.torch_norm import WrappedTorchNorm

LayerNormImpl = WrappedTorchNorm
""",
    "megatron/core/fusions/fused_bias_swiglu.py": """
class SwiGLUFunction:
    @staticmethod
    def apply(input, fp8_input_store, cpu_offload_input):
        return ("megatron", fp8_input_store, cpu_offload_input)

def bias_swiglu_impl(input, bias, fp8_input_store=False, cpu_offload_input=False):
    return ("megatron", "bias") if bias is not None else SwiGLUFunction.apply(input, fp8_input_store, cpu_offload_input)
""",
}


def write(folder):
    """Writes the package, every folder of it a package."""
    for path, text in FILES.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    for directory in (folder / "megatron").rglob("*"):
        if directory.is_dir():
            (directory / "__init__.py").touch()
    (folder / "megatron/__init__.py").touch()
