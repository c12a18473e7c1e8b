"""Whether a formula of the user's own gives its part's share of the loss, tried once on a few parts of a batch.

The losses of parts are summed, as upstream sums them, so a formula that ends in `mean()` is wrong by the number of parts,
and nothing else would say so. A formula is tried on log-probabilities near the batch's, so that parts differ where those
of the batch are alike, as in a first step from the reference. What tells a mean: of parts together the formula gives a
weighted mean of what it gives of each, and it is the same for a batch that is twice as large. A formula that divides by
the whole batch is not the same; one that compares what it is given together gives no such mean.
"""

import warnings

import torch

# Parts that a formula is tried on, which is not to take long where a batch has many.
TRIED = 4
# Formulas may round to 16 bits; a mean of two parts is wrong by half.
_TOLERANCE = 1e-2
_HOW_TO_GO_ON = "If this is what you want, set checks_shares = False on the class"


def nearby(tensor):
    """Log-probabilities, or logits, a little below a tensor's and each by another amount; the same every time."""
    steps = torch.arange(tensor.numel(), device=tensor.device, dtype=torch.float32).view(tensor.shape)
    found = tensor.detach() - 0.05 - 0.4 * torch.frac((steps + 1) * 0.6180339887)
    return found.requires_grad_(torch.is_grad_enabled() and tensor.requires_grad)


def may_check(cls, tensor):
    """Whether a formula is to be tried on this batch: numbers are read on the host, which a graph cannot capture."""
    is_due = getattr(cls, "checks_shares", True) and "was_tried" not in cls.__dict__
    return is_due and not (tensor.is_cuda and torch.cuda.is_current_stream_capturing())


class Trial:
    """A formula's losses of some parts, of the parts together, and of a part of a batch that is twice as large."""

    def __init__(self, cls, device):
        self.cls, self.name, self.device = cls, f"{cls.__name__}.{cls.FORMULA}", device

    def of_share(self, of, count, sizes, advice):
        """Checks a formula that divides by the whole batch.

        of: gives the loss of parts from one number to another, of a batch that is so many times as large. sizes: each
        part's number of answers, and other weights that means may have. Raises ValueError for a mean of its part.
        """
        with self._own_random_numbers():
            parts = [self._number(of(n, n + 1, 1)) for n in range(count)]
            whole = self._tried(lambda: of(0, count, 1))
            again, larger = self._tried(lambda: of(0, count, 1)), self._tried(lambda: of(0, 1, 2))
        total, scale = sum(parts), sum(map(abs, parts))
        if self._is_undecided(scale, whole, again):
            return
        self.cls.was_tried = True
        if whole is not None and abs(whole - total) <= _TOLERANCE * scale:
            return
        depends = larger is None or abs(larger - parts[0]) > _TOLERANCE * abs(parts[0])
        is_mean = whole is not None and any(_is_mean(whole, parts, weights, scale) for weights in sizes)
        if is_mean and not depends:
            raise ValueError(
                f"{self.name} gives the mean of the part of the batch that it is given ({whole:.6g} of {count} parts "
                f"together, {total:.6g} of the same parts one after the other). Losses of parts are summed: {advice}. "
                f"{_HOW_TO_GO_ON}"
            )
        is_larger = sizes[0][0] > 1
        if not depends or (is_mean and is_larger):
            gives = "nothing of parts together" if whole is None else f"{whole:.6g} of {count} parts together"
            warnings.warn(
                f"{self.name} gives {gives} and {total:.6g} of the same parts one after the other, so the loss depends "
                f"on chunk_size. Losses of parts are summed: {advice}. {_HOW_TO_GO_ON}",
                stacklevel=2,
            )

    def of_sum(self, of, tokens):
        """Checks a formula that gives the sum over its tokens. of: gives the loss of both parts, or of one."""
        if tokens < 2:
            return
        with self._own_random_numbers():
            parts, whole, again = [self._number(of(0, 1)), self._number(of(1, 2))], *(
                self._tried(lambda: of(0, 2)) for _ in range(2)
            )  # fmt: skip
        total, scale = sum(parts), sum(map(abs, parts))
        if whole is None or self._is_undecided(scale, whole, again):
            return
        self.cls.was_tried = True
        if abs(whole - total) > _TOLERANCE * scale and _is_mean(whole, parts, (1, 1), scale):
            raise ValueError(
                f"{self.name} gives the mean over the tokens that it is given ({whole:.6g} of tokens together, "
                f"{total:.6g} of the same tokens in two parts). It must give the sum over those that are not ignored, "
                f"which the loss divides by their number in the whole batch. {_HOW_TO_GO_ON}"
            )

    def _is_undecided(self, scale, whole, again):
        """Whether numbers say nothing: all are 0, not finite, or drawn at random.

        Processes that work together try once, as formulas may call the others.
        """
        if whole is not None and again != whole or not scale < float("inf"):
            self.cls.was_tried = True
            return True
        if scale == 0:
            if torch.distributed.is_available() and torch.distributed.is_initialized():
                self.cls.was_tried = True
            return True
        return False

    def _tried(self, evaluate):
        # A formula may take one part at a time only.
        try:
            return self._number(evaluate())
        except Exception:
            return None

    def _number(self, found):
        loss = found[0] if isinstance(found, (tuple, list)) else found
        return float(torch.as_tensor(loss).detach().sum())

    def _own_random_numbers(self):
        return torch.random.fork_rng([self.device] if self.device.type == "cuda" else [])


def _is_mean(whole, parts, weights, scale):
    total = sum(weights)
    if not total:
        return False
    mean = sum(weight * part for weight, part in zip(weights, parts)) / total
    return abs(mean - whole) <= _TOLERANCE * scale / len(parts)
