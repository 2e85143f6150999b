"""SatImp: gradient ascent on tokens that are neither forgotten nor certain."""

from __future__ import annotations

from torch import Tensor

from unlearnkit.objectives.base import require_not_negative
from unlearnkit.objectives.wga import WGA


class SatImp(WGA):
    """Minimise ``-p^beta1 (1 - p)^beta2 NLL`` of each token, the weight detached (Yang et al. 2025, SatImp).

    ``p^beta1`` spares what is forgotten already (saturation), ``(1 - p)^beta2`` what is said with certainty whatever
    is asked, such as the rest of a word (importance). The mean is over all scored tokens. Open-unlearning's class
    has the retain loss at a tenth of the forget loss, its YAML the other way round: here weights are the strategy's.

    Args:
        beta1: Exponent of the probability, 0 or above.
        beta2: Exponent of its complement, 0 or above; 0 is WGA.

    Raises:
        ConfigurationError: An exponent is negative.

    >>> from unlearnkit.objectives import WGA
    >>> from unlearnkit.testing import ToyClassifier, toy_batch
    >>> model, batch = ToyClassifier(seed=0), toy_batch(4)
    >>> bool((SatImp(2.0, 0.0)(model, batch).sums == WGA(2.0)(model, batch).sums).all())
    True
    """

    def __init__(self, beta1: float = 5.0, beta2: float = 1.0) -> None:
        super().__init__(require_not_negative("beta1", beta1))
        self.beta2 = require_not_negative("beta2", beta2)

    def weights(self, probabilities: Tensor) -> Tensor:
        """Return each token's weight from its probability, both [batch, units]."""
        return super().weights(probabilities) * (1 - probabilities) ** self.beta2
