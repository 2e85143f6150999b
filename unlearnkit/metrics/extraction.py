"""Exact memorisation and extraction strength as torchmetrics classes.

The formulas are in ``unlearnkit.metrics.functional.extraction``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from unlearnkit.metrics.base import RowMeanMetric
from unlearnkit.metrics.functional.extraction import (
    ExtractionConvention,
    exact_memorisation,
    extraction_strength,
)

_AIM = "near the retrained reference"


class ExactMemorisation(RowMeanMetric):
    """Mean share of an answer's tokens that are the most likely next one (Tirumala 2022). Ideal: near the reference.

    >>> metric = ExactMemorisation()
    >>> metric.update([[True, False], [True]])
    >>> metric.compute().item()
    0.75
    """

    higher_is_better: bool | None = None
    ideal = _AIM

    def update(self, hits: Sequence[Sequence[bool]]) -> None:
        """Add, for each answer, whether each of its tokens without EOS is the most likely one."""
        self.add(torch.tensor([exact_memorisation(row) for row in hits], dtype=torch.float64))


class ExtractionStrength(RowMeanMetric):
    """Mean share of an answer that greedy decoding gives back from its start (Carlini 2021). Ideal: near the reference.

    Args:
        convention: ``fraction``, or ``open-unlearning`` for its numbers, which are never 0.

    >>> metric = ExtractionStrength()
    >>> metric.update([[True, False], [False, True]])
    >>> metric.compute().item()
    0.25
    """

    higher_is_better: bool | None = None
    ideal = _AIM

    def __init__(self, convention: ExtractionConvention = "fraction", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.convention: ExtractionConvention = convention

    def update(self, hits: Sequence[Sequence[bool]]) -> None:
        """Add, for each answer, whether each of its tokens without EOS is the most likely one."""
        self.add(
            torch.tensor([extraction_strength(row, self.convention) for row in hits], dtype=torch.float64)
        )
