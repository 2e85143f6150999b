"""PCGrad: gradient surgery."""

from __future__ import annotations

from unlearnkit.gradients import Gram, Weights
from unlearnkit.strategies.base import GramStrategy, Losses


class PCGrad(GramStrategy):
    """Sum of ``g - min(0, g.h)/|h|^2 h`` for each g and the other h (Yu et al. 2020, algorithm 1; paper 001, item 6).

    Both gradients are projected. Paper 001 prints a one-sided form in which the retain gradient stays
    whole, ``c/(1-c) = 1 + g_F.g_R/|g_R|^2``; it lacks the ``max(0, .)``, without which the retain weight
    falls below 1, and below 0, where the two gradients agree anyway.

    Exactly opposite gradients cancel, and the step is skipped; the one-sided form descends on the retain loss.

    Args:
        symmetric: Project both gradients; False projects the forget gradient alone.

    >>> import torch
    >>> from unlearnkit.gradients import gram_matrix
    >>> gram = gram_matrix([torch.tensor([1.0, 0.0])], [torch.tensor([-1.0, 1.0])])
    >>> for symmetric in (True, False):
    ...     weights = PCGrad(symmetric).weights(gram, {})
    ...     print(weights.retain.item(), weights.forget.item())
    2.0 1.5
    2.0 1.0
    """

    def __init__(self, symmetric: bool = True) -> None:
        super().__init__()
        self.symmetric = symmetric

    def weights(self, gram: Gram, losses: Losses) -> Weights:
        """Return ``(1 - min(0, g_r.g_f)/|g_r|^2, 1 - min(0, g_r.g_f)/|g_f|^2)``; the second is 1 in one-sided form."""
        conflict = gram.rf.clamp_max(0.0)
        retain, forget = 1.0 - conflict / gram.rr, 1.0 - conflict / gram.ff
        return Weights(retain, forget if self.symmetric else forget.new_ones(()))
