"""Manifold-constrained hyper-connections as a module around a layer, and as functions."""

import warnings

import torch
import torch.nn as nn

from liger_kernel.ops.mhc import LigerMHCCoeffsFunction
from liger_kernel.ops.mhc import LigerMHCPostResFunction
from liger_kernel.ops.mhc import LigerMHCPreFunction


def liger_mhc_coeffs(
    x, phi, b, alpha_pre, alpha_post, alpha_res, *, allow_fp32: bool = False, tmax: int = 20, rms_eps: float = 1e-6,
    pre_eps: float = 0.0, sinkhorn_eps: float = 1e-6, post_mult: float = 2.0,
):  # fmt: skip
    """h_pre (.., n), h_post (.., n) and h_res (.., n, n), fp32, of streams x (.., n, C)."""
    return LigerMHCCoeffsFunction.apply(
        x, phi, b, alpha_pre, alpha_post, alpha_res, allow_fp32, int(tmax), float(rms_eps), float(pre_eps),
        float(sinkhorn_eps), float(post_mult),
    )  # fmt: skip


def liger_mhc_pre(x, h_pre):
    """What the layer gets: Σ h_pre_i x_i, (.., C)."""
    return LigerMHCPreFunction.apply(x, h_pre)


def liger_mhc_post_res(x, f_out, h_post, h_res):
    """The next streams, (.., n, C): Σ h_res_oi x_i + h_post_o f_out."""
    return LigerMHCPostResFunction.apply(x, f_out, h_post, h_res)


def liger_mhc_apply(x, f_out, h_pre, h_post, h_res, *, return_x_in: bool = False):
    """The next streams of a layer's result; and what the layer gets, where asked for."""
    x_out = liger_mhc_post_res(x, f_out, h_post, h_res)
    return (x_out, liger_mhc_pre(x, h_pre)) if return_x_in else x_out


def liger_mhc_forward(
    x, layer, phi, b, alpha_pre, alpha_post, alpha_res, *, allow_fp32=False, tmax=20, rms_eps=1e-6, pre_eps=0.0,
    sinkhorn_eps=1e-6, post_mult=2.0, return_coeffs=False,
):  # fmt: skip
    """The next streams of x with `layer` between them, which is called in the type of its first parameter."""
    coefficients = liger_mhc_coeffs(
        x, phi, b, alpha_pre, alpha_post, alpha_res, allow_fp32=allow_fp32, tmax=tmax, rms_eps=rms_eps,
        pre_eps=pre_eps, sinkhorn_eps=sinkhorn_eps, post_mult=post_mult,
    )  # fmt: skip
    h_pre, h_post, h_res = coefficients
    x_in = liger_mhc_pre(x, h_pre)
    first = next(layer.parameters(), x_in) if hasattr(layer, "parameters") else x_in
    x_out = liger_mhc_post_res(x, layer(x_in.to(first.dtype)), h_post, h_res)
    return (x_out, coefficients) if return_coeffs else x_out


class LigerMHC(nn.Module):
    """A layer of (.., C) to (.., C) with `hc` streams of `c` features around it: (.., hc, c) to (.., hc, c).

    Learned: phi, which projects a token's streams to routing logits, their bias b, and a factor for each of 3 groups.
    tmax: turns of the balance of h_res. phi_dtype: where it is that of the streams, 16 bits are projected as they are,
    and else as fp32. allow_fp32: whether streams may be fp32.
    """

    def __init__(
        self, layer: nn.Module, *, hc: int, c: int, tmax: int = 20, rms_eps: float = 1e-6, pre_eps: float = 0.0,
        sinkhorn_eps: float = 1e-6, post_mult: float = 2.0, phi_dtype: torch.dtype = torch.float16,
        allow_fp32: bool = False,
    ):  # fmt: skip
        super().__init__()
        if hc > 16:
            warnings.warn(
                f"hc={hc} exceeds recommended range [2, 16]. A kernel holds the hc * hc coefficients of a token in "
                "registers", stacklevel=2,
            )  # fmt: skip
        self.layer, self.hc, self.c = layer, int(hc), int(c)
        self.tmax, self.rms_eps, self.pre_eps = int(tmax), float(rms_eps), float(pre_eps)
        self.sinkhorn_eps, self.post_mult, self.allow_fp32 = float(sinkhorn_eps), float(post_mult), bool(allow_fp32)
        device = next((p.device for p in layer.parameters()), torch.device("cpu"))
        logits = hc * hc + 2 * hc
        self.phi = nn.Parameter(torch.randn(hc * c, logits, dtype=phi_dtype, device=device) * 0.02)
        self.b = nn.Parameter(torch.zeros(logits, device=device, dtype=torch.float32))
        self.alpha_pre, self.alpha_post, self.alpha_res = (
            nn.Parameter(torch.ones((), device=device, dtype=torch.float32)) for _ in range(3)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.shape[-2:] != (self.hc, self.c):
            raise ValueError(f"Expected x.shape[-2:]=[{self.hc}, {self.c}], got {list(x.shape[-2:])}")
        return liger_mhc_forward(
            x, self.layer, self.phi, self.b, self.alpha_pre, self.alpha_post, self.alpha_res,
            allow_fp32=self.allow_fp32, tmax=self.tmax, rms_eps=self.rms_eps, pre_eps=self.pre_eps,
            sinkhorn_eps=self.sinkhorn_eps, post_mult=self.post_mult,
        )  # fmt: skip

    def extra_repr(self) -> str:
        return f"hc={self.hc}, c={self.c}, tmax={self.tmax}"
