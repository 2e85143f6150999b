"""AscentKL: move away from the target's predictions."""

from __future__ import annotations

from unlearnkit.objectives.base import PerSample, Reference, UnlearnableModel
from unlearnkit.objectives.kl_to_reference import KLToReference


class AscentKL(KLToReference):
    """Minimise ``-T^2 KL(p_ref || p)``: SCRUB's forget side (Kurmanji et al. 2023, eq. 3).

    At the target itself the divergence is 0, the most that this objective can be, and its gradient is zero up to
    rounding. Plain SGD then hardly moves; Adam divides by the size of that noise, and its first step is of nearly
    its full rate in a random direction. Momentum and weight decay move weights in any case. The direction has a
    meaning once the model has left the target, e.g. by a retain step. Unbounded below, like gradient ascent.

    Args:
        temperature: As for ``KLToReference``.
        parity: As for ``KLToReference``.

    Raises:
        ConfigurationError: ``temperature`` is not above 0.
        UnknownNameError: ``parity`` is neither of the two.

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
