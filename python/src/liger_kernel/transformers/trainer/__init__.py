"""Trainers of TRL with losses that make no logits. They need TRL."""


def __getattr__(name):
    if name == "LigerORPOTrainer":
        from liger_kernel.transformers.trainer.orpo_trainer import LigerORPOTrainer

        return LigerORPOTrainer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
