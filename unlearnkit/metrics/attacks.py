"""The area under an attack's curve, and privleak, as torchmetrics classes.

The formulas and the six attacks are in ``unlearnkit.metrics.functional.attacks``.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from unlearnkit.metrics.functional.attacks import attack_auc, privleak
from unlearnkit.metrics.functional.memorisation import Values


class MembershipAUC(Metric):
    """Probability that a holdout text scores higher than a forget text (MIA AUC). Ideal: near the retrained reference.

    >>> metric = MembershipAUC()
    >>> metric.update(forget=[0.1, 0.2], holdout=[0.3])
    >>> metric.update(holdout=[0.2])
    >>> metric.compute().item()
    0.875
    """

    full_state_update = False
    is_differentiable = False
    higher_is_better: bool | None = None
    ideal: str | None = "near the retrained reference"
    forget: list[Tensor]
    holdout: list[Tensor]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("forget", [], dist_reduce_fx="cat")
        self.add_state("holdout", [], dist_reduce_fx="cat")
        # A rank without rows contributes an empty tensor of this type; rounding would also make ties.
        self.set_dtype(torch.float64)

    def update(self, forget: Values = (), holdout: Values = ()) -> None:
        """Add an attack's ``[rows]`` scores of forget and of holdout texts; low means known."""
        self.forget.append(torch.as_tensor(forget, dtype=torch.float64, device=self.device))
        self.holdout.append(torch.as_tensor(holdout, dtype=torch.float64, device=self.device))

    def compute(self) -> Tensor:
        """Return the area, a float64 scalar; NaN where a score is not finite.

        Raises:
            DataError: A side has no rows on any rank.
        """
        return torch.tensor(attack_auc(all_of(self.forget), all_of(self.holdout)), dtype=torch.float64)


class PrivLeak(MembershipAUC):
    """What is left of the leak, per cent of the retrained reference's area (MUSE, Shi et al. 2024). Ideal: near 0.

    Args:
        retrained_auc: ``MembershipAUC`` of the retrained model on the same texts.

    >>> metric = PrivLeak(retrained_auc=0.5)
    >>> metric.update(forget=[0.1, 0.2], holdout=[0.3, 0.4])
    >>> round(metric.compute().item())
    -100
    """

    ideal = "0, the retrained reference's"

    def __init__(self, retrained_auc: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.retrained_auc = retrained_auc

    def compute(self) -> Tensor:
        """Return per cent, a float64 scalar: negative where the forget texts still look known.

        Raises:
            DataError: A side has no rows on any rank.
        """
        return torch.tensor(privleak(super().compute().item(), self.retrained_auc), dtype=torch.float64)


def all_of(state: list[Tensor] | Tensor) -> list[float]:
    """Return the numbers of a state of parts, which is one tensor after a reduction over ranks."""
    parts = [state] if isinstance(state, Tensor) else state
    return [value for part in parts for value in part.tolist()]
