"""FDivergence: stay near the target's predictions by a divergence of one's choice."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from unlearnkit.errors import UnknownNameError
from unlearnkit.objectives.base import Objective, PerSample, Reference, UnlearnableModel, require_reference

Kind = Literal["kl", "reverse_kl", "js", "hellinger", "chi2", "tv"]


class FDivergence(Objective):
    """Minimise ``D_f(p_ref || p) = sum_v p_v f(p_ref,v / p_v)`` over the scored units (Csiszar 1967; Wang et al. 2024).

    ============== ============================== ==================================================
    kind           f(t)                           divergence
    ============== ============================== ==================================================
    ``kl``         ``t log t``                    ``sum p_ref log(p_ref / p)``, as ``KLToReference``
    ``reverse_kl`` ``-log t``                     ``sum p log(p / p_ref)``
    ``js``         ``(t log t - (1+t) log m)/2``  half of both KL to ``m = (p_ref + p) / 2``
    ``hellinger``  ``(1 - sqrt t)^2 / 2``         ``1 - sum sqrt(p_ref p)``
    ``chi2``       ``(t - 1)^2``                  ``sum (p_ref - p)^2 / p``
    ``tv``         ``|t - 1| / 2``                ``sum |p_ref - p| / 2``
    ============== ============================== ==================================================

    In the second column ``m = (1 + t) / 2``. All are 0 at the target, and only there. ``js`` (at most log 2),
    ``hellinger`` and ``tv`` (at most 1) are bounded; ``chi2`` is so far from it that in fp32 it is infinite where
    ``log(p_ref^2 / p)`` of one class passes 88.7, as where the model gives a class of which the target is sure less
    than 3e-39. A round with such a loss is left out. The mean is over all scored units.

    Args:
        kind: One of the names above.

    Raises:
        UnknownNameError: ``kind`` is none of them.

    >>> from unlearnkit.testing import ToyClassifier, toy_batch
    >>> model, batch = ToyClassifier(seed=0), toy_batch(4)
    >>> bool(FDivergence("js")(model, batch, lambda: model).sums.abs().max() < 1e-6)
    True
    """

    role = "retain"
    needs_reference = True

    def __init__(self, kind: Kind = "js") -> None:
        super().__init__()
        if kind not in get_args(Kind):
            raise UnknownNameError.among("kind", str(kind), get_args(Kind))
        self.kind: Kind = kind

    def forward(self, model: UnlearnableModel, batch: Any, reference: Reference | None = None) -> PerSample:
        """Return each sample's summed divergence [batch], nats where it has a unit, and its units [batch]."""
        target = require_reference(reference, self)
        # The policy first: under FSDP2 a reference that is the same model without its adapter may not be.
        logits, _, mask = model.units(batch)
        with torch.no_grad():
            reference_logits, _, _ = target.units(batch)
        divergence = DIVERGENCES[self.kind](reference_logits.log_softmax(-1), logits.log_softmax(-1))
        return PerSample((divergence * mask).sum(-1), mask.sum(-1))


def _kl(p: Tensor, q: Tensor) -> Tensor:
    """Return ``KL(P || Q)`` of log-probabilities [..., classes]."""
    return (p.exp() * (p - q)).sum(-1)


def _js(ref: Tensor, own: Tensor) -> Tensor:
    middle = torch.logaddexp(ref, own) - math.log(2.0)
    return 0.5 * (_kl(ref, middle) + _kl(own, middle))


DIVERGENCES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "kl": _kl,
    "reverse_kl": lambda ref, own: _kl(own, ref),
    "js": _js,
    "hellinger": lambda ref, own: 1 - (0.5 * (ref + own)).exp().sum(-1),
    "chi2": lambda ref, own: (2 * ref - own).exp().sum(-1) - 1,
    "tv": lambda ref, own: 0.5 * (ref.exp() - own.exp()).abs().sum(-1),
}
"""Divergence of reference and own log-probabilities, both [..., classes]."""
