"""CAGrad: conflict-averse gradient descent."""

from __future__ import annotations

import math

import torch

from unlearnkit.errors import ConfigurationError
from unlearnkit.gradients import Gram, Weights
from unlearnkit.strategies.base import GramStrategy, Losses


class CAGrad(GramStrategy):
    """Best for the worse side within ``c |g_0|`` of the mean gradient ``g_0`` (Liu et al. 2021b, algorithm 1).

    ``d = g_0 + c |g_0| g_w/|g_w|`` with ``g_w = x g_r + (1-x) g_f``, x in [0, 1] minimising
    ``g_w.g_0 + c |g_0| |g_w|``, here in closed form. Below ``c = 1`` the mean gradient wins where the
    two are strongly opposed: the retain loss may rise then (exactly opposite ones are skipped).

    Args:
        c: Radius of the ball in units of ``|g_0|``, 0 or above; 0 is GDiff 0.5, large values approach MGDA.

    Raises:
        ConfigurationError: ``c`` is negative or not finite.

    >>> import torch
    >>> from unlearnkit.gradients import gram_matrix
    >>> gram = gram_matrix([torch.tensor([1.0, 0.0])], [torch.tensor([0.0, 1.0])])
    >>> weights = CAGrad(c=0.5).weights(gram, {})
    >>> round(weights.retain.item(), 6), round(weights.forget.item(), 6)
    (0.75, 0.75)
    """

    def __init__(self, c: float = 0.5) -> None:
        super().__init__()
        if not 0.0 <= c < math.inf:
            raise ConfigurationError(
                f"`c` must be a finite number of 0 or above, the radius around the mean gradient. Found {c}. "
                "Use 0.5; 0 is plain gradient difference."
            )
        self.c = c

    def weights(self, gram: Gram, losses: Losses) -> Weights:
        """Return ``(1/2 + r x, 1/2 + r (1-x))`` with ``r = c |g_0| / |g_w|``."""
        half = gram.rr.new_tensor(0.5)
        mean = gram.norm(Weights(half, half))
        apart = gram.rr + gram.ff - 2 * gram.rf
        # |g_w|^2 is a parabola in x with its least value `least` at `middle`; `slope` pulls x from there.
        # x and 1 - x each come from their own difference, because 1 - x loses the digits of a tiny one.
        middle, other = (gram.ff - gram.rf) / apart, (gram.rr - gram.rf) / apart
        least = (gram.rr * gram.ff - gram.rf**2).clamp_min(0.0) / apart
        slope = (gram.rr - gram.ff) / (2 * self.c * mean)
        shift = slope.sign() * (slope**2 * least / (apart * (apart - slope**2))).sqrt()
        inside, end = apart > slope**2, (1.0 - slope.sign()) / 2
        x = torch.where(inside, middle - shift, end).clamp(0.0, 1.0).nan_to_num(0.5)
        y = torch.where(inside, other + shift, 1.0 - end).clamp(0.0, 1.0).nan_to_num(0.5)
        worse = gram.norm(Weights(x, y))
        reach = torch.where(worse > 0, self.c * mean / worse, 0.0)
        return Weights(retain=0.5 + reach * x, forget=0.5 + reach * y)
