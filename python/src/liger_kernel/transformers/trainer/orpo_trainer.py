"""TRL's ORPO trainer with the loss taken from hidden states."""

import torch

from liger_kernel.chunked_loss import LigerFusedLinearORPOLoss
from liger_kernel.transformers.fsdp import _FSDPForwardRedirection  # noqa: F401  (where others look for it)
from liger_kernel.transformers.functional import CrossEntropyOutput
from liger_kernel.transformers.model import heads
from liger_kernel.transformers.model import lce

try:
    from trl.trainer import ORPOTrainer
except ImportError:  # Where TRL 1 has it; an ImportError without TRL.
    from trl.experimental.orpo import ORPOTrainer

IGNORED = -100
# The order of what `LigerFusedLinearORPOLoss` gives in addition to the loss.
RESULTS = (
    "logps/chosen", "logps/rejected", "logits/chosen", "logits/rejected", "nll_loss", "rewards/chosen",
    "rewards/rejected", "log_odds_ratio", "log_odds_chosen",
)  # fmt: skip


class LigerORPOTrainer(ORPOTrainer):
    """`ORPOTrainer` that makes no logits: the model's own forward runs up to its head, and the loss does the rest.

    The head may be a linear layer or a LoRA one over it. Raises NotImplementedError for an encoder-decoder and for
    models that bound their logits, or whose head cannot be taken apart: use `ORPOTrainer` for those.
    """

    def concatenated_forward(self, model, batch):
        """(loss, its results by name) of a batch's chosen answers, then its rejected ones."""
        if self.is_encoder_decoder:
            raise NotImplementedError("LigerORPOTrainer has no loss of an encoder-decoder; use ORPOTrainer")
        rows = self.concatenated_inputs(batch, padding_value=self.padding_value, device=self.accelerator.device)
        ids, mask = rows["concatenated_input_ids"], rows["concatenated_attention_mask"]
        more = {"output_router_logits": True} if self.aux_loss_enabled else {}
        output = forward_up_to_head(model, input_ids=ids, attention_mask=mask, use_cache=False, **more)
        # The likelihood is that of prompt and answer, the odds are those of the answer.
        likelihood = torch.where(mask == 1, ids, IGNORED)[:, 1:]
        loss, results = self.loss_of(output.logits, rows["concatenated_labels"][:, 1:], likelihood)
        if self.aux_loss_enabled:
            loss = loss + self.aux_loss_coef * output.aux_loss
        return loss, results

    def loss_of(self, logits, labels, likelihood_labels):
        form = logits.form() if isinstance(logits, lce.Deferred) else None
        if form is None or form[1] is not None:
            raise NotImplementedError("LigerORPOTrainer has no loss of logits that a model bounds; use ORPOTrainer")
        loss, results = LigerFusedLinearORPOLoss(ignore_index=IGNORED, beta=self.beta), []

        def from_hidden_states(hidden, weight, bias):
            hidden, bias = hidden[:, :-1] * form[0], None if bias is None else bias * form[0]
            value, found = loss(weight, hidden, labels, bias, likelihood_labels)
            results.extend(found)
            return CrossEntropyOutput(value)

        done, result = heads.run_with_head(logits.head, logits.hidden, from_hidden_states)
        if not done:
            raise NotImplementedError(
                f"the model's head, {type(logits.head).__name__}, cannot be taken apart; use ORPOTrainer"
            )
        return result.loss, dict(zip(RESULTS, results))

    def get_batch_loss_metrics(self, model, batch, train_eval="train"):
        """The loss, and the metrics that TRL logs, under its names."""
        loss, results = self.concatenated_forward(model, batch)
        results["rewards/accuracies"] = (results["rewards/chosen"] > results["rewards/rejected"]).float()
        results["rewards/margins"] = results["rewards/chosen"] - results["rewards/rejected"]
        prefix = "eval_" if train_eval == "eval" else ""
        means = {name: self.accelerator.gather_for_metrics(value.detach()).mean() for name, value in results.items()}
        return loss, {prefix + name: mean.item() for name, mean in means.items()}


def forward_up_to_head(model, **arguments):
    """The model's output with deferred logits. A wrapper that data parallelism puts around it is called as ever."""
    inner = getattr(model, "module", model)
    if hasattr(inner, "get_base_model"):
        inner = inner.get_base_model()
    saved = inner.__dict__.get("forward")
    original = lce.original_forward(type(inner))

    intercepted = lce.deferring_head(inner, original, fuse=None)
    if not intercepted:
        raise NotImplementedError(
            f"the model's head, {type(getattr(inner, lce.HEAD)).__name__}, cannot be taken apart; use ORPOTrainer"
        )

    def forward(*args, **kwargs):
        return original(lce.model_view(inner, dict(intercepted)), *args, **kwargs)

    inner.__dict__["forward"] = forward
    try:
        return model(**arguments)
    finally:
        if saved is None:
            inner.__dict__.pop("forward", None)
        else:
            inner.__dict__["forward"] = saved
