"""Cross entropy of each token of logits whose classes are spread over ranks, as a module."""

from torch import nn

from liger_kernel.ops.vocab_parallel_cross_entropy import LigerVocabParallelCEFunction
from liger_kernel.ops.vocab_parallel_cross_entropy import validate_formula_and_mode


class LigerVocabParallelCrossEntropy(nn.Module):
    """`LigerVocabParallelCEFunction` with its options. Losses are of each token: `reduction` must be "none"."""

    def __init__(
        self, ignore_index: int = -100, label_smoothing: float = 0.0, reduction: str = "none",
        label_smoothing_formula: str = "pytorch", label_smoothing_mode: str = "global",
    ):  # fmt: skip
        super().__init__()
        if reduction != "none":
            raise ValueError(
                f"Vocab-parallel CE returns per-token loss; reduction must be 'none', got {reduction!r}."
            )
        if not 0.0 <= label_smoothing < 1.0:
            raise ValueError(f"label_smoothing must be in [0, 1), got {label_smoothing}.")
        validate_formula_and_mode(label_smoothing_formula, label_smoothing_mode)
        self.ignore_index, self.label_smoothing, self.reduction = ignore_index, label_smoothing, reduction
        self.label_smoothing_formula, self.label_smoothing_mode = label_smoothing_formula, label_smoothing_mode

    def forward(self, vocab_parallel_logits, target, tp_group=None):
        if vocab_parallel_logits.dim() != 3:
            raise ValueError(
                f"vocab_parallel_logits must be 3-D ([seq, batch, vocab]); got shape "
                f"{tuple(vocab_parallel_logits.shape)}. Transpose [batch, seq, vocab] first"
            )
        return LigerVocabParallelCEFunction.apply(
            vocab_parallel_logits, target, tp_group, self.ignore_index, self.label_smoothing,
            self.label_smoothing_formula, self.label_smoothing_mode,
        )  # fmt: skip

    def extra_repr(self):
        names = ("ignore_index", "label_smoothing", "reduction", "label_smoothing_formula", "label_smoothing_mode")
        return ", ".join(f"{name}={getattr(self, name)!r}" for name in names)
