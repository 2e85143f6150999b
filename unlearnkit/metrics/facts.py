"""Fact accuracy as torchmetrics classes; the definition is in ``unlearnkit.metrics.functional.facts``."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from unlearnkit.metrics.base import RowMeanMetric
from unlearnkit.metrics.functional.facts import fact_accuracy


class FactAccuracy(RowMeanMetric):
    """Share of rows whose fact strings all occur in the generation (this library). Up on the retain set.

    Rows without a fact string are not counted; ``row_facts`` gives the strings of a row.

    >>> metric = FactAccuracy()
    >>> metric.update(["born in Lagos", "born in Rome", "yes"], [("Lagos",), ("Lagos",), ()])
    >>> metric.compute().item(), metric.summary.n
    (0.5, 2)
    """

    higher_is_better: bool | None = True

    def update(self, generations: Sequence[str], facts: Sequence[Sequence[str]]) -> None:
        """Add generated texts and, for each, the strings it must hold.

        Raises:
            MismatchError: Not as many generations as rows of facts.
        """
        right = fact_accuracy(generations, facts).right
        self.add(torch.tensor([row for row in right if row is not None], dtype=torch.float64))


class ForgetFactAccuracy(FactAccuracy):
    """Fact accuracy on the forget set. Ideal: near the retrained reference, which guesses some facts."""

    higher_is_better: bool | None = None
    ideal = "near the retrained reference"
