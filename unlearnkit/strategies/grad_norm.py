"""GradNorm: weights that are learned from the lengths of the two gradients."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from unlearnkit.errors import ConfigurationError
from unlearnkit.gradients import Gram, Weights
from unlearnkit.strategies.base import GramStrategy, Losses, vanished

LEAST_WEIGHT = 1e-3
"""A weight of 0 would end its side for good."""


class GradNorm(GramStrategy):
    r"""Weights that bring ``w_i |g_i|`` to ``mean(w |g|) r_i^alpha`` (Chen et al. 2018; paper 001, algorithm 3).

    ``r_i`` is the side's relative inverse training rate, ``(L_i/L_i(0)) / mean(L/L(0))``. After each round
    ``w_i <- w_i - lr sign(w_i |g_i| - target_i) |g_i|``, and both are scaled to add up to 2. Paper 001 counts
    three backward passes for this; both gradients being at hand, it takes no third. The paper prints a vector
    norm of ``g_i - mean(g) r_i^alpha``; here, as in the original, the norms are scalars.

    For a loss that is ascended (``AscentNLL``, which is negative) the ratio is turned over, ``L_i(0)/L_i``:
    ``|L_F|`` grows as forgetting succeeds, and the plain ratio would call that slow and push harder for ever.

    Args:
        alpha: How strongly the slower side is favoured, 0 or above; 0 makes the two lengths equal.
        lr: Learning rate of the weights, above 0. A step is ``lr |g_i|``: where gradients are longer than about
            ``1/lr``, it throws the weights from one limit to the other, and ``lr`` must be smaller.
        layer: Whose gradients are measured: ``last`` for the last numbered block, which stands for the original's last
            shared layer (in unlearning both sides share all of them); else a pattern found in the parameters'
            names, e.g. ``layers\.1\.``; None measures all.

    Raises:
        ConfigurationError: ``alpha`` or ``lr`` lies outside its range.

    >>> import torch
    >>> from unlearnkit.gradients import gram_matrix
    >>> strategy = GradNorm(alpha=0.0, lr=0.1)
    >>> losses = {"retain": torch.tensor(1.0), "forget": torch.tensor(-1.0)}
    >>> strategy.learn(gram_matrix([torch.tensor([3.0])], [torch.tensor([1.0])]), losses)
    >>> strategy.factors.tolist()  # 1 - 0.3 and 1 + 0.1, times 2 / 1.8
    [0.777..., 1.222...]
    """

    state = "2 weights, 2 first losses"
    factors: Tensor
    """Present weights (retain, forget), [2], float64; ones at the start."""
    first: Tensor
    """Losses of the first round (retain, forget), [2], float64; NaN before it."""

    def __init__(self, alpha: float = 1.5, lr: float = 0.025, layer: str | None = None) -> None:
        super().__init__()
        if not 0.0 <= alpha < math.inf:
            raise ConfigurationError(
                f"`alpha` must be a finite number of 0 or above. Found {alpha}. Use 1.5, or 0 for equal lengths."
            )
        if not 0.0 < lr < math.inf:
            raise ConfigurationError(
                f"`lr` must be above 0, the learning rate of the weights. Found {lr}. Use 0.025."
            )
        self.alpha = alpha
        self.lr = lr
        self.watched = layer
        self.register_buffer("factors", torch.ones(2, dtype=torch.float64))
        self.register_buffer("first", torch.full((2,), torch.nan, dtype=torch.float64))

    def weights(self, gram: Gram, losses: Losses) -> Weights:
        """Return the present weights."""
        retain, forget = self.factors.clone().unbind()
        return Weights(retain, forget)

    def learn(self, gram: Gram, losses: Losses) -> None:
        """Move the weights by one step; not in a round in which a gradient vanished."""
        now = torch.stack([losses["retain"], losses["forget"]]).double()
        first = torch.where(self.first.isnan(), now, self.first)
        ratio = (now / first).abs()
        ratio = torch.where(first < 0, 1.0 / ratio, ratio).nan_to_num(1.0)
        lengths = torch.stack([gram.rr, gram.ff]).sqrt()
        weighted = self.factors * lengths
        target = weighted.mean() * (ratio / ratio.mean()) ** self.alpha
        moved = self.factors - self.lr * (weighted - target).sign() * lengths
        moved = moved.clamp_min(LEAST_WEIGHT)
        no_retain, no_forget = vanished(gram)
        still = no_retain | no_forget
        self.factors.copy_(torch.where(still, self.factors, 2 * moved / moved.sum()))
        self.first.copy_(torch.where(still, self.first, first))
