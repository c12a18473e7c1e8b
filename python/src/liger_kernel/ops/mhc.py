"""Manifold-constrained hyper-connections (Xie et al., 2025): n streams around a layer, mixed by coefficients from data.

Of a token's streams x as one row, mix = (x phi) / sqrt(mean(x^2) + eps); then h_pre = sigmoid(alpha_pre mix + b) +
pre_eps, h_post = post_mult sigmoid(alpha_post mix + b), and h_res = sinkhorn(alpha_res mix + b), n x n. The layer gets
Σ h_pre_i x_i, and stream o becomes Σ h_res_oi x_i + h_post_o f.

Of upstream's keywords `block_*`, `num_warps` and `num_stages` change nothing, and `out_*` are copied to.
"""

import math

import torch

from liger_kernel._operation import operation
from liger_kernel.ops._primitive import Function
from liger_kernel.ops._primitive import first_order

_mix = operation("hyper_connection_mix_forward")
_mix_backward = operation("hyper_connection_mix_backward")
_coefficients = operation("hyper_connection_coefficients_forward")
_coefficients_backward = operation("hyper_connection_coefficients_backward")
_input = operation("hyper_connection_input_forward")
_input_backward = operation("hyper_connection_input_backward")
_next = operation("hyper_connection_next_forward")
_next_backward = operation("hyper_connection_next_backward")


def mhc_mm_norm_fwd(
    x, phi, eps, *, out_mix=None, out_invr=None, block_n=32, block_k=256, block_m=32, num_warps=4
):  # fmt: skip
    """mix (N, M) and 1 / sqrt(mean(x^2) + eps) (N), fp32, of x (N, K) and phi (K, M)."""
    mix, invr = _mix(x, phi, float(eps))
    return _into(out_mix, mix), _into(out_invr, invr)


def mhc_mm_norm_bwd(
    x, phi, mix, invr, grad_mix, *, out_grad_x=None, out_grad_phi=None, block_n=32, block_k=256, block_m=32,
    num_warps=4,
):  # fmt: skip
    """Gradients of x and phi, in their types."""
    grad_x, grad_phi = _mix_backward(grad_mix, x, phi, mix, invr)
    return _into(out_grad_x, grad_x), _into(out_grad_phi, grad_phi).to(phi.dtype)


def mhc_split_sinkhorn_fwd(
    mix, b, alpha_pre, alpha_post, alpha_res, *, tmax, pre_eps, sinkhorn_eps, post_mult, out_hpre=None,
    out_hpost=None, out_hres=None, out_hist=None, return_hist=False, num_warps=1,
):  # fmt: skip
    """h_pre (N, n), h_post (N, n) and h_res (N, n, n), fp32; with `return_hist` h_res after each turn, too,
    (N, tmax, n, n)."""
    n = _streams(mix.shape[1])
    options = n, int(tmax), float(pre_eps), float(sinkhorn_eps), float(post_mult), bool(return_hist)
    *found, history = _coefficients(mix, b, *_numbers(alpha_pre, alpha_post, alpha_res), *options)
    found = tuple(map(_into, (out_hpre, out_hpost, out_hres), found))
    return (*found, _into(out_hist, history.permute(3, 0, 1, 2))) if return_hist else found


def mhc_sinkhorn_bwd(
    mix, b, alpha_res, grad_hres, *, tmax, sinkhorn_eps, hist=None, out_grad_logits=None, num_warps=1
):  # fmt: skip
    """The gradient of what `h_res` is the balance of, (N, n, n). Without `hist` the turns are computed again."""
    n = _streams(mix.shape[1])
    nothing, alphas = mix.new_zeros(mix.shape[0], n), _numbers(alpha_res, alpha_res, alpha_res)
    history = None if hist is None else hist.permute(1, 2, 3, 0)
    *_, dlogits = _coefficients_backward(
        nothing, nothing, grad_hres, mix, b, *alphas, history, n, int(tmax), 0.0, float(sinkhorn_eps), 1.0
    )
    return _into(out_grad_logits, dlogits)


def mhc_pre_fwd(x, h_pre, *, out=None, block_n=32, block_c=128, num_warps=4):
    """Σ h_pre_i x_i, (N, C), fp32, of x (N, n, C)."""
    return _into(out, _input(x.float(), h_pre.float()))


def mhc_pre_bwd(
    x, h_pre, grad_out, *, out_grad_x=None, out_grad_h=None, block_n=32, block_c=128, num_warps=4
):  # fmt: skip
    """Gradients of x and h_pre, fp32."""
    grad_x, grad_h = _input_backward(grad_out.float(), x.float(), h_pre.float())
    return _into(out_grad_x, grad_x), _into(out_grad_h, grad_h)


def mhc_post_res_fwd(
    x, f_out, h_post, h_res, *, out=None, block_n=None, block_c=None, num_warps=None, num_stages=None
):  # fmt: skip
    """Σ h_res_oi x_i + h_post_o f_out, (N, n, C), fp32."""
    return _into(out, _next(x.float(), f_out, h_post.float(), h_res.float()))


def mhc_post_res_bwd(
    x, f_out, h_post, h_res, grad_out, *, out_grad_x=None, out_grad_f=None, out_grad_hpost=None,
    out_grad_hres=None, block_n=None, block_c=None, num_warps=None, num_stages=None,
):  # fmt: skip
    """Gradients of x, f_out, h_post and h_res, fp32."""
    found = _next_backward(grad_out.float(), x.float(), f_out.float(), h_post.float(), h_res.float())
    return tuple(map(_into, (out_grad_x, out_grad_f, out_grad_hpost, out_grad_hres), found))


def _into(out, result):
    return result if out is None else out.copy_(result)


def _numbers(*alphas):
    """Scalars as operations take them."""
    return [alpha.reshape(1) for alpha in alphas]


def _streams(columns):
    """n of n^2 + 2 n columns."""
    n = math.isqrt(columns + 1) - 1
    assert n > 0 and n * (n + 2) == columns, f"Invalid M for mHC: {columns} is no n^2 + 2 n"
    return n


class LigerMHCCoeffsFunction(Function):
    """h_pre, h_post [..., n] and h_res [..., n, n], fp32.

    x: [..., n, C]; phi: [n C, M] with M = n^2 + 2 n; b: [M]; alphas: scalars.

    Saved for the backward pass: the inputs and mix; the turns of the balance are computed again.
    """

    @staticmethod
    def forward(
        ctx, x, phi, b, alpha_pre, alpha_post, alpha_res, allow_fp32, tmax, rms_eps, pre_eps, sinkhorn_eps, post_mult
    ):
        types = (torch.bfloat16, torch.float16) + ((torch.float32,) if allow_fp32 else ())
        assert x.dtype in types, f"x should be BF16/FP16 (set allow_fp32=True for FP32); found {x.dtype}"
        assert x.dim() >= 3, f"x must be [..., n, C], got {tuple(x.shape)}"
        outer, n, rows = x.shape[:-2], x.shape[-2], x.flatten(-2).flatten(0, -2)
        columns = n * (n + 2)
        assert phi.shape == (rows.shape[1], columns), (
            f"phi must be [n C, n^2 + 2 n] = [{rows.shape[1]}, {columns}], got {tuple(phi.shape)}"
        )
        assert b.shape == (columns,), f"b must be [{columns}], got {tuple(b.shape)}"
        mix, invr = _mix(rows, phi, float(rms_eps))
        alphas = _numbers(alpha_pre, alpha_post, alpha_res)
        ctx.options = n, int(tmax), float(pre_eps), float(sinkhorn_eps), float(post_mult)
        ctx.shapes = x.shape, alpha_pre.shape, alpha_post.shape, alpha_res.shape
        h_pre, h_post, h_res, *_ = _coefficients(mix, b, *alphas, *ctx.options, False)
        ctx.save_for_backward(rows, phi, b, *alphas, mix, invr)
        return h_pre.view(*outer, n), h_post.view(*outer, n), h_res.view(*outer, n, n)

    @staticmethod
    @first_order
    def backward(ctx, grad_h_pre, grad_h_post, grad_h_res):
        rows, phi, b, *alphas, mix, invr = ctx.saved_tensors
        n, needs = ctx.options[0], ctx.needs_input_grad
        grad_mix, grad_b, *grad_alphas, _ = _coefficients_backward(
            grad_h_pre.reshape(-1, n), grad_h_post.reshape(-1, n), grad_h_res.reshape(-1, n, n), mix, b, *alphas,
            None, *ctx.options,
        )  # fmt: skip
        grad_x = grad_phi = None
        if needs[0] or needs[1]:
            grad_x, grad_phi = _mix_backward(grad_mix, rows, phi, mix, invr, needs[0], needs[1])
        x_shape, *shapes = ctx.shapes
        return (
            grad_x.view(x_shape) if needs[0] else None, grad_phi if needs[1] else None, grad_b,
            *(grad.view(shape) for grad, shape in zip(grad_alphas, shapes)),
            None, None, None, None, None, None,
        )  # fmt: skip


class LigerMHCPreFunction(Function):
    """What the layer gets, Σ h_pre_i x_i, in x's type; x: [..., n, C]; h_pre: [..., n]."""

    @staticmethod
    def forward(ctx, x, h_pre):
        rows, weights = x.flatten(0, -3), h_pre.float().flatten(0, -2)
        ctx.save_for_backward(rows, weights)
        ctx.like = x.shape, h_pre.dtype
        return _input(rows, weights).view(*x.shape[:-2], x.shape[-1])

    @staticmethod
    @first_order
    def backward(ctx, grad_out):
        rows, weights = ctx.saved_tensors
        shape, dtype = ctx.like
        grad_x, grad_h = _input_backward(grad_out.reshape(-1, shape[-1]), rows, weights)
        return grad_x.view(shape), grad_h.view(shape[:-1]).to(dtype)


class LigerMHCPostResFunction(Function):
    """The next streams, Σ h_res_oi x_i + h_post_o f_out, in x's type, which f_out need not have; h_res: [..., n, n]."""

    @staticmethod
    def forward(ctx, x, f_out, h_post, h_res):
        n, columns = x.shape[-2:]
        saved = (
            x.flatten(0, -3), f_out.reshape(-1, columns), h_post.float().reshape(-1, n),
            h_res.float().reshape(-1, n, n),
        )  # fmt: skip
        ctx.save_for_backward(*saved)
        ctx.like = [(t.shape, t.dtype) for t in (x, f_out, h_post, h_res)]
        return _next(*saved).view(x.shape)

    @staticmethod
    @first_order
    def backward(ctx, grad_out):
        saved = ctx.saved_tensors
        gradients = _next_backward(grad_out.reshape(saved[0].shape), *saved)
        return tuple(grad.view(shape).to(dtype) for grad, (shape, dtype) in zip(gradients, ctx.like))
