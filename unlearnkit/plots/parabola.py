"""GeN's picture: the retain loss at points along a round's displacement, the parabola through them, r*."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from unlearnkit.errors import ConfigurationError
from unlearnkit.plots.figure import notebook_axes
from unlearnkit.plots.palette import ROLES, figure_style
from unlearnkit.plots.paths import number
from unlearnkit.plots.quantities import axis_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

REACH = 3.0
"""A minimum further than this many steps away is named, not drawn: the three points would shrink to one."""


class Fit(Protocol):
    """What is drawn of a fit; ``unlearnkit.gradients.Parabola`` is one."""

    @property
    def minimiser(self) -> float:
        """The multiplier of least loss; NaN where the fit is refused."""

    @property
    def refused(self) -> str | None:
        """Why the fit must not be used."""

    def predict(self, r: float) -> float:
        """Return the fitted loss at a multiplier."""


_REFUSALS = {
    "not finite": "a loss is not finite",
    "noise": "differences drown in rounding",
    "slope": "G ≤ 0, the loss rises along u",
    "curvature": "h ≤ 0, no minimum",
}


def parabola(r: Sequence[float], losses: Sequence[float], fit: Fit, ax: Axes | None = None) -> Axes:
    """Draw GeN's points ``L_R(theta + r u)`` and its fit ``L(0) - G r + h r^2 / 2`` (paper 001, figure 4).

    ``u`` is the displacement of a whole round and r its multiplier: r = 1 is the step as it was
    taken, ``r* = G / h`` the step that GeN takes. A refused fit is drawn without a minimum and the
    legend says why it is refused.

    Args:
        r: Multipliers of the displacement, two or more.
        losses: Retain loss at each of them, in nats; one that is not finite is not drawn.
        fit: The fitted parabola.
        ax: Axes to draw on; None makes a figure 6 inches wide.

    Returns:
        The Axes.

    Raises:
        ConfigurationError: There are not as many losses as multipliers, or fewer than two.

    >>> from unlearnkit.gradients.parabola import fit_parabola
    >>> axes = parabola([-1, 0, 1], [2.0, 1.0, 0.5], fit_parabola(2.0, 1.0, 0.5))
    >>> [text.get_text() for text in axes.get_legend().get_texts()][-1]
    'r* = G/h = 1.5'
    """
    if len(r) != len(losses) or len(r) < 2:
        raise ConfigurationError(
            "`r` and `losses` must be equally long, two or more. "
            f"Found {len(r)} multipliers and {len(losses)} losses. GeN measures at r = -1, 0, 1."
        )
    best = fit.minimiser if fit.refused is None else math.nan
    near = abs(best) <= REACH * max(map(abs, r))
    low, high = min([*r, best] if near else r), max([*r, best] if near else r)
    air = 0.15 * (high - low)
    grid = [low - air + (high - low + 2 * air) * step / 200 for step in range(201)]
    green = ROLES["retrained"].color
    with figure_style():
        axes = notebook_axes(3.4) if ax is None else ax
        (line,) = axes.plot(
            grid,
            [number(fit.predict(at)) for at in grid],
            color=ROLES["unlearned"].color,
            label="fit: L(0) − G r + h r²/2",
        )
        line.set_gid("fit")
        (points,) = axes.plot(
            list(r),
            [number(loss) for loss in losses],
            linestyle="none",
            marker="o",
            markersize=8,
            color=ROLES["target"].color,
            markeredgecolor="white",
            zorder=4,
            label="measured",
        )
        points.set_gid("points")
        if near:
            axes.axvline(best, color=green, linestyle="--", linewidth=1.0, zorder=1)
        (star,) = axes.plot(
            [best] if near else [],
            [fit.predict(best)] if near else [],
            linestyle="none",
            marker="" if math.isnan(best) else "*",
            markersize=14,
            color=green,
            markeredgecolor="white",
            zorder=5,
            label=_verdict(best, near, fit.refused),
        )
        star.set_gid("minimum")
        axes.set_xlim(grid[0], grid[-1])
        axes.set_xlabel("r, multiple of the round's displacement u (1: the step as taken)")
        axes.set_ylabel(axis_label("retain loss at θ + r u", "down"))
        axes.legend(loc="best", frameon=True, framealpha=0.9, edgecolor="none")
    return axes


def _verdict(best: float, near: bool, refused: str | None) -> str:
    """Say where the minimum is, or why the fit is refused."""
    if refused is not None:
        return f"refused: {_REFUSALS.get(refused, refused)}"
    return f"r* = G/h = {best:.3g}" + ("" if near else " (beyond the edge)")
