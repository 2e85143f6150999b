"""AscentKL: move away from the target's predictions."""

from __future__ import annotations

from unlearnkit.objectives.base import PerSample, Reference, UnlearnableModel
from unlearnkit.objectives.kl_to_reference import KLToReference


class AscentKL(KLToReference):
    """Minimise ``-T^2 KL(p_ref || p)``: SCRUB's forget side (Kurmanji et al. 2023, eq. 3).

    At the target itself the gradient is exactly zero, so that a first step along it alone moves nothing; SCRUB
    begins where the retain side has moved first, or batch by batch. Unbounded below, like gradient ascent.

    Args:
        temperature: As for ``KLToReference``.

    Raises:
        ConfigurationError: ``temperature`` is not above 0.

    >>> from unlearnkit.testing import ToyClassifier, toy_pair
    >>> model, target, batch = ToyClassifier(seed=0), ToyClassifier(seed=1), toy_pair(seed=0)["forget"]
    >>> bool((AscentKL()(model, batch, lambda: target).sums < 0).all())
    True
    """

    role = "forget"

    def forward(
        self, model: UnlearnableModel, batch: object, reference: Reference | None = None
    ) -> PerSample:
        """Return minus each sample's summed KL divergence [batch], nats, and its number of units [batch]."""
        sums, counts = super().forward(model, batch, reference)
        return PerSample(-sums, counts)
