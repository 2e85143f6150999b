"""UniformPixels: learn noise in the place of a class."""

from __future__ import annotations

from typing import Any

from unlearnkit.keyed_draws import uniform
from unlearnkit.objectives.base import Objective, PerSample, Reference, UnlearnableModel
from unlearnkit.objectives.denoising import PIXELS, conditioned, require_classes, require_keys


class UniformPixels(Objective):
    """Minimise the denoising loss of ``x ~ U(-1, 1)`` under the class to forget: SA's forget side (Heng, Soh 2023).

    Each pixel is drawn anew for each sample and round, from the sample's keys. No class is dropped. Its retain side
    is ``Replay``.

    Raises:
        ConfigurationError: Model and batch are not those of a diffusion model.

    >>> UniformPixels.role
    'forget'
    """

    role = "forget"

    def forward(self, model: UnlearnableModel, batch: Any, reference: Reference | None = None) -> PerSample:
        """Return each sample's squared error, summed over its values [batch], and their number [batch]."""
        require_classes(model, self)
        drawn = uniform(require_keys(batch, self), PIXELS, tuple(batch["inputs"].shape[1:]))
        replaced = conditioned(batch, batch["targets"], 2.0 * drawn - 1.0)
        return PerSample(model.losses(replaced), model.counts(replaced))
