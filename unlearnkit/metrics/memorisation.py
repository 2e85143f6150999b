"""Probability and truth ratio as torchmetrics classes.

The formulas are in ``unlearnkit.metrics.functional.memorisation``.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from unlearnkit.metrics.base import RowMeanMetric
from unlearnkit.metrics.functional.memorisation import (
    Rows,
    TruthRatioMean,
    Values,
    failed_rows,
    log_truth_ratio,
    normalised_probability,
    probability,
    truth_indifference,
    truth_preference,
)

NEAR_REFERENCE = "near the retrained reference"


class Probability(RowMeanMetric):
    """Mean P = exp(-l) of the true answers (TOFU). Up on the retain set.

    >>> metric = Probability()
    >>> metric.update([0.0, float("nan")])
    >>> metric.compute().item(), metric.summary.non_finite
    (0.5, 1)
    """

    higher_is_better: bool | None = True

    def update(self, mean_nll: Values) -> None:
        """Add ``[rows]`` mean negative log-likelihoods, nats a token."""
        # A failed row is known by its loss, not by its probability of 0: exp(-l) underflows past l = 745.
        self.add(probability(mean_nll), failed_rows(torch.as_tensor(mean_nll, dtype=torch.float64)))


class ForgetProbability(Probability):
    """Mean P = exp(-l) on the forget set (TOFU). Ideal: near the retrained reference."""

    higher_is_better: bool | None = None
    ideal = NEAR_REFERENCE


class NormalisedProbability(RowMeanMetric):
    """Mean P / (P + sum_k P_k) (TOFU: real authors, world facts). Up.

    >>> metric = NormalisedProbability()
    >>> metric.update([1.0], [[1.0, 1.0, 1.0]])
    >>> metric.compute().item()
    0.25
    """

    higher_is_better: bool | None = True

    def update(self, right_nll: Values, wrong_nll: Rows) -> None:
        """Add ``[rows]`` losses of the true and ``[rows, K]`` of the wrong answers."""
        failed = log_truth_ratio(right_nll, wrong_nll).isinf()
        self.add(normalised_probability(right_nll, wrong_nll), failed)


class _TruthRatioMetric(RowMeanMetric):
    def __init__(self, mean: TruthRatioMean = "geometric", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.mean: TruthRatioMean = mean

    def _per_row(self, log_r: Tensor) -> Tensor:
        raise NotImplementedError

    def update(self, right_nll: Values, wrong_nll: Rows) -> None:
        """Add ``[rows]`` losses of the paraphrased true answer and ``[rows, K]`` of the wrong ones."""
        log_r = log_truth_ratio(right_nll, wrong_nll, self.mean)
        self.add(self._per_row(log_r), log_r.isinf())


class TruthRatio(_TruthRatioMetric):
    """Mean max(0, 1 - R), R = P_wrong / P_right (TOFU: retain, real authors, world facts). Up.

    >>> metric = TruthRatio(mean="arithmetic")
    >>> metric.update([1.0], [[1.0, float("inf")]])
    >>> metric.compute().item(), metric.summary.non_finite
    (0.0, 1)
    """

    higher_is_better: bool | None = True

    def _per_row(self, log_r: Tensor) -> Tensor:
        return truth_preference(log_r)


class PaperTruthRatio(TruthRatio):
    """TruthRatio of paper 001 (table 1): mean max(0, 1 - R), geometric, on retain_perturbed. Up.

    Derived: the paper gives no formula (see ``paper_truth_ratio``).
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("geometric", **kwargs)


class ForgetTruthRatio(_TruthRatioMetric):
    """Mean min(R, 1/R) on the forget set (TOFU). Ideal: near the retrained reference."""

    higher_is_better: bool | None = None
    ideal = NEAR_REFERENCE

    def _per_row(self, log_r: Tensor) -> Tensor:
        return truth_indifference(log_r)
