"""GradVaccine: PCGrad towards a cosine that is learned."""

from __future__ import annotations

import torch
from torch import Tensor

from unlearnkit.errors import ConfigurationError
from unlearnkit.gradients import Gram, Weights
from unlearnkit.strategies.base import GramStrategy, Losses, vanished

STEEPEST = 1e-6
"""Least ``1 - phi^2``: a target cosine of 1 would ask for infinite weights."""


class GradVaccine(GramStrategy):
    """Each gradient turned until ``cos >= phi``, the running mean of the cosine (Wang et al. 2020).

    Where ``cos < phi``: ``w_r = 1 + f |g_f|/|g_r|``, ``w_f = 1 + f |g_r|/|g_f|`` with
    ``f = (phi sqrt(1 - cos^2) - cos sqrt(1 - phi^2)) / sqrt(1 - phi^2)``. With ``phi = 0`` it is PCGrad;
    with another ``phi``, strongly opposed gradients may be turned too far or too little for both losses to fall.

    Args:
        beta: What a round's cosine counts in the running mean, in [0, 1]; 0 keeps ``phi = 0``.

    Raises:
        ConfigurationError: ``beta`` lies outside [0, 1].

    >>> import torch
    >>> from unlearnkit.gradients import gram_matrix
    >>> gram = gram_matrix([torch.tensor([1.0, 0.0])], [torch.tensor([-1.0, 1.0])])
    >>> strategy = GradVaccine(beta=0.1)
    >>> weights = strategy.weights(gram, {})
    >>> strategy.learn(gram, {})
    >>> round(weights.retain.item(), 6), round(weights.forget.item(), 6), round(strategy.phi.item(), 6)
    (2.0, 1.5, -0.070711)
    """

    state = "phi"
    phi: Tensor
    """Running mean of the cosine, 0-d float64; 0 at the start."""

    def __init__(self, beta: float = 0.01) -> None:
        super().__init__()
        if not 0.0 <= beta <= 1.0:
            raise ConfigurationError(
                "`beta` must lie in [0, 1], what a round's cosine counts in its running mean. "
                f"Found {beta}. Use 0.01."
            )
        self.beta = beta
        self.register_buffer("phi", torch.zeros((), dtype=torch.float64))

    def weights(self, gram: Gram, losses: Losses) -> Weights:
        """Return the two factors for the present ``phi``; ones where the gradients agree that much already."""
        cosine = gram.cosine
        sine, target = (1 - cosine**2).clamp_min(0.0).sqrt(), (1 - self.phi**2).clamp_min(STEEPEST).sqrt()
        turn = torch.where(cosine < self.phi, (self.phi * sine - cosine * target) / target, 0.0)
        ratio = (gram.ff / gram.rr).sqrt()
        return Weights(retain=1.0 + turn * ratio, forget=1.0 + turn / ratio)

    def learn(self, gram: Gram, losses: Losses) -> None:
        """Move ``phi`` towards the round's cosine; a gradient that vanished has none."""
        no_retain, no_forget = vanished(gram)
        moved = self.phi.lerp(gram.cosine.to(self.phi.dtype), self.beta)
        self.phi.copy_(torch.where(no_retain | no_forget, self.phi, moved))
