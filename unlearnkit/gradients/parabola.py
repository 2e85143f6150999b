"""The parabola through three losses along a displacement, and the multiplier it proposes (GeN).

Along a displacement u the retain loss is, to second order (paper 001, eq. 4),

    L(r) = L_R(theta + r u) = L(0) - G r + h r^2 / 2,        r* = G / h        (eq. 6)

with ``G = -g_R.u`` the fall per unit of r and ``h = u.H.u`` the curvature. Three points fix both;
no line search, no curve-fitting library.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch

Preset = Literal["paper", "autogen"]
"""``paper``: Algorithm 1 of paper 001. ``autogen``: the authors' own optimizer, clipped and smoothed."""

Refusal = Literal["not finite", "noise", "slope", "curvature", "shape"]
"""Why a fit is not used: a loss is not finite; loss differences drown in rounding; G <= 0; h <= 0; the
loss at the minimum is not what the parabola promised."""

KAPPA = 50.0
"""How many roundings of the loss a second difference must exceed to be worth two digits."""

SMOOTHING = 0.1
"""Share of a new fit in AutoGeN's running average."""

CLIP = (0.5, 2.0)
"""Range that AutoGeN clips one fit's multiplier to."""


@dataclass(frozen=True)
class Parabola:
    """A fitted ``L(r) = centre - slope * r + curvature * r^2 / 2``, r in units of the displacement.

    Attributes:
        centre: L(0), nats.
        slope: G, the fall of the loss per unit of r, nats.
        curvature: h, nats.
        reach: The probes were at ``r = -reach`` and ``r = +reach``.
        refused: Why the fit must not be used, or None.
    """

    centre: float
    slope: float
    curvature: float
    reach: float
    refused: Refusal | None

    @property
    def minimiser(self) -> float:
        """``r* = G / h``, the multiple of the displacement with the lowest loss; NaN where refused."""
        return self.slope / self.curvature if self.refused is None else math.nan

    def predict(self, r: float) -> float:
        """Return the parabola's loss at ``theta + r u``, nats."""
        return self.centre - self.slope * r + 0.5 * self.curvature * r * r


def fit_parabola(
    minus: float, centre: float, plus: float, *, reach: float = 1.0, noise: float = 0.0
) -> Parabola:
    """Fit the parabola through the losses at ``r = -reach, 0, +reach`` (paper 001, appendix B.1).

    Args:
        minus: L(-reach), nats, float64 (a mean over all ranks).
        centre: L(0), nats.
        plus: L(+reach), nats.
        reach: Distance of the probes, in units of the displacement; above 0.
        noise: Differences of losses up to this size are rounding (see ``noise_floor``), nats.

    Returns:
        The parabola; ``refused`` says why it must not be used (remark 3.1: then keep the rate).

    >>> fit = fit_parabola(minus=4.0, centre=1.0, plus=0.0)       # L(r) = (r - 1)^2
    >>> fit.slope, fit.curvature, fit.minimiser
    (2.0, 2.0, 1.0)
    >>> fit_parabola(minus=0.0, centre=1.0, plus=4.0).refused     # ascent: the loss rises along u
    'slope'
    >>> fit_parabola(minus=1.0, centre=1.0, plus=0.0).refused     # bends down: no minimum
    'curvature'
    """
    fall = 0.5 * (minus - plus)
    bend = plus + minus - 2.0 * centre
    refused: Refusal | None = None
    if not all(math.isfinite(loss) for loss in (minus, centre, plus)):
        refused = "not finite"
    elif max(abs(fall), abs(bend)) <= noise:
        refused = "noise"
    elif fall <= 0.0:
        refused = "slope"
    elif abs(bend) <= noise:
        refused = "noise"
    elif bend < 0.0:
        refused = "curvature"
    return Parabola(centre, fall / reach, bend / reach**2, reach, refused)


def noise_floor(loss: float, dtype: torch.dtype = torch.float32, count: float = 1.0) -> float:
    """Return the second difference that rounding alone may cause, nats.

    fp32 losses carry ``KAPPA`` times their last bit. Half-precision logits err independently by one
    rounding each, which averages out over the ``count`` scored units of the batch.

    >>> noise_floor(2.0) < 1.3e-5 < noise_floor(2.0, torch.bfloat16, count=1000)
    True
    """
    relative = KAPPA * torch.finfo(torch.float32).eps
    if dtype in (torch.bfloat16, torch.float16):
        relative = max(relative, 4.0 * torch.finfo(dtype).eps / math.sqrt(max(count, 1.0)))
    return relative * abs(loss)


def multiplier(minimiser: float, preset: Preset) -> float:
    """Turn a fit's minimiser into the factor on step and rate.

    ``paper`` takes r* at once (Algorithm 1, line 12); ``autogen`` clips it to [1/2, 2] and moves a
    tenth of the way, ``0.9 + 0.1 clip(r*)``, as the authors' AutoGeN does.

    >>> multiplier(3.0, "paper"), round(multiplier(3.0, "autogen"), 12), round(multiplier(0.1, "autogen"), 12)
    (3.0, 1.1, 0.95)
    """
    if preset == "paper":
        return minimiser
    return (1.0 - SMOOTHING) + SMOOTHING * min(max(minimiser, CLIP[0]), CLIP[1])
