"""Generalised Jensen-Shannon divergence between two distributions, from log-probabilities."""

from liger_kernel.ops import _divergence
from liger_kernel.ops._primitive import Function
from liger_kernel.ops._primitive import first_order


def jsd_forward(_input, target, shift_labels, beta, ignore_index, has_label, jsd_impl=None, jsd_mode=None):
    """The loss and the gradient of `_input` for an upstream gradient of 1, both in its type.

    has_label: whether `shift_labels` counts; without it all rows do.
    """
    options = "jsd", "batchMean", ignore_index, float(beta), 0.0
    loss, gradient = _divergence.loss_and_gradient(_input, target, shift_labels if has_label else None, *options)
    return loss.to(_input.dtype), gradient


def jsd_backward(dX, grad_output):
    """The gradient times the loss's upstream gradient."""
    return _divergence.scaled(dX, grad_output)


class LigerJSDFunction(Function):
    """_input (student), target (teacher): (N, V) log-probabilities; shift_labels: (N) or None. Loss in their type."""

    @staticmethod
    def forward(
        ctx, _input, target, shift_labels=None, beta=0.5, ignore_index=-100, jsd_impl=None, jsd_mode=None
    ):
        assert shift_labels is None or shift_labels.shape == (_input.shape[0],), (
            f"the shape of shift_labels must be (BT,), got: {shift_labels.shape}"
        )
        options = ("jsd", "batchmean", ignore_index, float(beta), 0.0)
        loss = _divergence.forward(ctx, _input, target, shift_labels, options)
        # A conversion to the type it has is no harmless one: torch.compile in torch 2.11 then takes the result for
        # a constant, and the gradient is 0.
        return loss if loss.dtype == _input.dtype else loss.to(_input.dtype)

    @staticmethod
    @first_order
    def backward(ctx, grad_output):
        return _divergence.backward(ctx, grad_output), None, None, None, None, None, None
