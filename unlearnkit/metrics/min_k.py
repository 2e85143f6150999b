"""Min-k% membership with named sets as a torchmetrics class; see ``unlearnkit.metrics.functional.min_k``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from unlearnkit.metrics.attacks import MembershipAUC, all_of
from unlearnkit.metrics.functional.min_k import MIN_K, Membership, min_k_membership, min_k_scores


class MinKMembership(MembershipAUC):
    """Probability that a member looks better known than a non-member by Min-k% (AUC).

    Ideal: near the retrained reference, where members are the texts to forget. Where members are texts that are kept,
    and non-members those that are forgotten, higher is better (paper 004).

    Args:
        share: Which part of a text's tokens, the least likely ones; 0.2 is usual.

    Attributes:
        both: After ``compute``: the area and its reverse.

    >>> metric = MinKMembership(share=0.5)
    >>> metric.update(members=[[-0.5, 0.0], [-1.0, 0.0]], nonmembers=[[-2.0, 0.0], [-1.0, 0.0]])
    >>> metric.compute().item(), metric.both.reversed
    (0.875, 0.125)
    """

    def __init__(self, share: float = MIN_K, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.share = share
        self.both: Membership | None = None

    def update(  # type: ignore[override]
        self, members: Sequence[Sequence[float]] = (), nonmembers: Sequence[Sequence[float]] = ()
    ) -> None:
        """Add log-probabilities of each token of texts of both kinds, nats.

        Raises:
            ConfigurationError: ``share`` is not in (0, 1].
        """
        super().update(min_k_scores(members, self.share), min_k_scores(nonmembers, self.share))

    def compute(self) -> Tensor:
        """Return the area, a float64 scalar; NaN where a score is not finite.

        Raises:
            DataError: A set has no texts on any rank.
        """
        self.both = min_k_membership(all_of(self.forget), all_of(self.holdout))
        return torch.tensor(self.both.auc, dtype=torch.float64)
