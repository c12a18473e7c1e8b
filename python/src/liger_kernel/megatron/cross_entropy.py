"""Cross entropy of logits that are split over tensor-parallel ranks, with Megatron's defaults."""

from liger_kernel.transformers.vocab_parallel_cross_entropy import LigerVocabParallelCrossEntropy


class LigerMegatronCrossEntropy(LigerVocabParallelCrossEntropy):
    """Megatron's `vocab_parallel_cross_entropy` as a module: `(vocab_parallel_logits, target, tp_group=None)`.

    Losses are one per token, and label smoothing is Megatron's: its factor, and the mean over a rank's own classes.
    """

    def __init__(
        self,
        ignore_index: int = -100,
        label_smoothing: float = 0.0,
        reduction: str = "none",
        label_smoothing_formula: str = "megatron",
        label_smoothing_mode: str = "partition",
    ):
        super().__init__(
            ignore_index=ignore_index,
            label_smoothing=label_smoothing,
            reduction=reduction,
            label_smoothing_formula=label_smoothing_formula,
            label_smoothing_mode=label_smoothing_mode,
        )
