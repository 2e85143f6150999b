"""The outer step of U2A: from gains to weights on the simplex, under one of four regularisers."""

from __future__ import annotations

import math
import warnings
from typing import Literal, get_args

import torch
from torch import Tensor

from unlearnkit.errors import ConfigurationError, NonFiniteError, UnknownNameError, UnlearnKitWarning

Regulariser = Literal["sqrt", "entropy", "l2", "none"]
"""Omega of the outer objective ``g(w) = -J + beta Omega(w)``."""

SMALL = 1e-8
"""Added to weights under the root, whose slope at 0 is infinite."""

COLLAPSED = 2.0
"""Effective number of samples below which weights are said to have collapsed."""


def effective_size(weights: Tensor) -> float:
    """Return ``(sum w)^2 / sum w^2``, how many samples of equal weight the weights are worth.

    >>> effective_size(torch.tensor([0.5, 0.5, 0.0])), effective_size(torch.tensor([1.0, 0.0]))
    (2.0, 1.0)
    """
    w = weights.double()
    return float(w.sum() ** 2 / w.square().sum())


def penalty(weights: Tensor, kind: Regulariser) -> float:
    """Return Omega(w): ``sum sqrt(w)``, ``sum w log w``, ``sum w^2 / 2``, or 0.

    The root is the paper's, which calls it convex; it is concave, so its least value on the simplex is at a corner.

    >>> round(penalty(torch.tensor([0.25] * 4), "sqrt"), 4), penalty(torch.tensor([1.0, 0.0]), "entropy")
    (2.0, 0.0)
    """
    w = weights.double()
    found: dict[str, Tensor] = {
        "sqrt": w.sqrt().sum(),
        "entropy": torch.special.entr(w).sum().neg() + 0.0,
        "l2": w.square().sum() / 2,
        "none": torch.zeros(()),
    }
    return float(found[require_regulariser(kind)])


def standardised(gains: Tensor) -> Tensor:
    """Return gains with mean 0 and standard deviation 1, in which rates and temperatures mean the same on any model.

    >>> standardised(torch.tensor([1.0, 3.0])).tolist(), standardised(torch.tensor([2.0, 2.0])).tolist()
    ([-1.0, 1.0], [0.0, 0.0])
    """
    centred = gains.double() - gains.double().mean()
    spread = centred.square().mean().sqrt()
    return centred / spread if float(spread) > 0 else centred * 0.0


def reweighed(
    gains: Tensor,
    weights: Tensor,
    kind: Regulariser = "entropy",
    strength: float = 1.0,
    rate: float = 3e-2,
    steps: int = 20,
) -> Tensor:
    """Return new weights: minimise ``-a.w + beta Omega(w)`` over the simplex, gains frozen (paper 004, eqs. 10, 12).

    ``entropy`` has the closed form ``w ~ exp(a / beta)``, ``l2`` the projection of ``a / beta`` on the simplex, each
    the one optimum. ``sqrt`` and ``none`` take steps of mirror descent in the log domain, at a rate that falls along
    half a cosine: their optimum is a corner, so that it is the small number of steps that keeps samples alive.

    Args:
        gains: a of the selected samples, [s].
        weights: Where to start, [s], on the simplex; those at 0 stay there under mirror descent.
        kind: Omega.
        strength: beta, above 0; the temperature of ``entropy``.
        rate: eta of the mirror steps.
        steps: Number of mirror steps.

    Returns:
        [s], float64, adds up to 1.

    Raises:
        ConfigurationError: ``strength`` or ``rate`` is not above 0, or ``steps`` is below 0.
        NonFiniteError: A gain or a weight is NaN or infinite.
        UnknownNameError: There is no such regulariser.

    >>> reweighed(torch.tensor([0.0, 0.0]), torch.tensor([0.9, 0.1])).tolist()
    [0.5, 0.5]
    """
    require_regulariser(kind)
    for name, value in {"strength": strength, "rate": rate}.items():
        if not 0.0 < value < math.inf:
            raise ConfigurationError(f"`{name}` must be above 0. Found {value}. Use e.g. {name}=0.5.")
    if steps < 0:
        raise ConfigurationError(f"`steps` must be 0 or above. Found {steps}. Use steps=20.")
    for name, found in {"gains": gains, "weights": weights}.items():
        if not bool(found.isfinite().all()):
            raise NonFiniteError(
                f"`{name}` must be finite. Found {found[~found.isfinite()][0].item()}. Check the reward, and whether "
                "the model has diverged."
            )
    a, w = gains.double(), weights.double()
    if kind == "entropy":
        return torch.softmax(a / strength, 0)
    if kind == "l2":
        return projected(a / strength)
    log = w.log()
    for step in range(steps):
        slope = -a
        if kind == "sqrt":
            slope = slope + strength / (2.0 * (log.exp() + SMALL).sqrt())
        eta = rate * 0.5 * (1.0 + math.cos(math.pi * step / steps))
        log = torch.log_softmax(log - eta * slope, 0)
    return torch.softmax(log, 0)


def projected(point: Tensor) -> Tensor:
    """Return the nearest point of the simplex.

    >>> projected(torch.tensor([2.0, 0.0])).tolist(), projected(torch.tensor([0.5, 0.5])).tolist()
    ([1.0, 0.0], [0.5, 0.5])
    """
    falling = point.sort(descending=True).values
    above = (falling.cumsum(0) - 1.0) / torch.arange(1, len(point) + 1, dtype=point.dtype)
    last = int((falling > above).nonzero()[-1])
    found = (point - above[last]).clamp_min(0.0)
    return found / found.sum()


def warn_of_collapse(weights: Tensor) -> float:
    """Return the effective number of samples; warn where it is below 2 though more were selected.

    >>> warn_of_collapse(torch.tensor([0.5, 0.5]))
    2.0
    """
    size = effective_size(weights)
    if size < COLLAPSED and int((weights > 0).sum()) > 1:
        warnings.warn(
            f"The weights have collapsed: {int((weights > 0).sum())} selected samples are worth {size:.2f}. Use "
            "regulariser='entropy', fewer steps or a smaller rate, or standardise the gains.",
            UnlearnKitWarning,
            stacklevel=2,
        )
    return size


def require_regulariser(kind: str) -> Regulariser:
    """Return the name.

    Raises:
        UnknownNameError: There is no such regulariser.
    """
    if kind not in get_args(Regulariser):
        raise UnknownNameError.among("regulariser", str(kind), get_args(Regulariser))
    return kind  # type: ignore[return-value]
