"""First-order effects of a round's actual step on both losses, after the optimizer has reshaped it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from unlearnkit.batches import Side
from unlearnkit.gradients import gram_matrix


class StepEffects:
    """Take the two gradients before they are combined, and the parameters, and compare after the step.

    Lemma 4 of paper 001 speaks of the direction before Adam; this measures what Adam, clipping and
    decay made of it: ``-g . (theta_after - theta_before)``, positive where the loss falls to first order.
    Costs one copy of both gradients and of the parameters, so it is done at the logging interval only.

    >>> weight = nn.Parameter(torch.tensor([1.0, 2.0]))
    >>> effects = StepEffects([weight], {"retain": [torch.tensor([1.0, 0.0])]})
    >>> with torch.no_grad():
    ...     _ = weight.sub_(0.5)
    >>> {side: effect.item() for side, effect in effects.measure().items()}
    {'retain': 0.5}
    """

    def __init__(self, parameters: list[nn.Parameter], gradients: dict[Side, list[Tensor]]) -> None:
        self.parameters = parameters
        self.before = [parameter.detach().clone() for parameter in parameters]
        self.gradients = {side: [g.clone() for g in found] for side, found in gradients.items()}

    @torch.no_grad()
    def measure(self) -> dict[Side, Tensor]:
        """Return the first-order fall of each side's loss over the step, 0-d float64 tensors, nats."""
        moved = [before - parameter for before, parameter in zip(self.before, self.parameters, strict=True)]
        return {side: gram_matrix(found, moved).rf for side, found in self.gradients.items()}
