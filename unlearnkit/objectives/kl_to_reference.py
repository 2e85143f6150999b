"""KLToReference: stay near the target's predictions."""

from __future__ import annotations

from typing import Any

import torch

from unlearnkit.objectives.base import Objective, PerSample, Reference, UnlearnableModel, require_reference


class KLToReference(Objective):
    """Minimise ``KL(p_ref || p) = sum_v p_ref (log p_ref - log p)`` over the scored units (TOFU's KL).

    Public code bases average over prompt and padding as well; here only scored units count, one
    row for each predicted answer token. The reference is the target before unlearning, in eval mode.

    >>> from unlearnkit.testing import ToyClassifier, toy_pair
    >>> model, batch = ToyClassifier(seed=0), toy_pair(seed=0)["retain"]
    >>> bool(KLToReference()(model, batch, lambda: model).sums.abs().max() < 1e-6)
    True
    """

    role = "retain"
    needs_reference = True

    def forward(self, model: UnlearnableModel, batch: Any, reference: Reference | None = None) -> PerSample:
        """Return each sample's summed KL divergence [batch], nats, and its number of units [batch]."""
        target = require_reference(reference, self)
        # The policy first: under FSDP2 a reference that is the same model without its adapter may not be.
        logits, _, mask = model.units(batch)
        with torch.no_grad():
            reference_logits, _, _ = target.units(batch)
        log_p, log_ref = logits.log_softmax(-1), reference_logits.log_softmax(-1)
        divergence = (log_ref.exp() * (log_ref - log_p)).sum(-1)
        return PerSample((divergence * mask).sum(-1), mask.sum(-1))
