"""NGDiff: the normalized gradient difference of paper 001, section 3.2.

Signs. The paper writes g_R and g_F for the gradients of the two likelihood losses and *maximises*
L_F. Here both sides are *minimised*: ``g_r = g_R``, and gradient ascent on L_F is the objective
``AscentNLL``, whose gradient is ``g_f = -g_F``. The paper's

    g_NGDiff = g_R / |g_R| - g_F / |g_F|          (section 3.2)

therefore reads ``g_r / |g_r| + g_f / |g_f|``, its condition (5) reads ``g_r . d >= 0`` and
``g_f . d >= 0``, and Lemma 4 says that both hold for any two gradients:

    g_r . d = |g_r| + g_r . g_f / |g_f| >= |g_r| - |g_r| = 0        (Cauchy-Schwarz)

Lemma 4 speaks of d. Adam rescales d element by element, so it does not carry over to Adam's step.
"""

from __future__ import annotations

from unlearnkit.gradients import Gram, Weights
from unlearnkit.strategies.base import GramStrategy, Losses


class NGDiff(GramStrategy):
    """Add the two gradients at unit length: ``d = g_r/|g_r| + g_f/|g_f|`` (paper 001, section 3.2).

    The paper's ``c_t = (1/|g_R|) / (1/|g_R| + 1/|g_F|)`` is this direction over a common factor.
    The length is ``|d| = sqrt(2 (1 + cos)) <= 2`` whatever the gradients' lengths. A vanished
    gradient contributes nothing; exactly opposite gradients cancel and the step is skipped.

    >>> import torch
    >>> from unlearnkit.gradients import gram_matrix
    >>> gram = gram_matrix([torch.tensor([3.0, 4.0])], [torch.tensor([0.0, 2.0])])
    >>> weights = NGDiff().weights(gram, {})
    >>> weights.retain.item(), weights.forget.item()
    (0.2, 0.5)
    """

    normalized = True

    def weights(self, gram: Gram, losses: Losses) -> Weights:
        """Return ``(1/|g_r|, 1/|g_f|)``, 0-d tensors."""
        return Weights(retain=gram.rr.rsqrt(), forget=gram.ff.rsqrt())
