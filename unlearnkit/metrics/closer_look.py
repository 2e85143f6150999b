"""Closer-look's numbers as torchmetrics classes; the formulas are in ``unlearnkit.metrics.functional.closer_look``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from unlearnkit.metrics.base import RowMeanMetric
from unlearnkit.metrics.encoders import Judge, LexicalJudge, Similarity, TrigramSimilarity
from unlearnkit.metrics.functional.closer_look import (
    CAPABILITY_PARTS,
    EFFICACY_PARTS,
    forget_efficacy,
    model_capability,
    token_entropy,
)
from unlearnkit.metrics.functional.entailment import entailed
from unlearnkit.metrics.parts import PartsMetric
from unlearnkit.metrics.text import require_pairs
from unlearnkit.metrics.utility import HarmonicMetric


class TokenEntropy(RowMeanMetric):
    """Mean normalised entropy of the tokens of a generation (closer-look, Yuan et al. 2024). Up.

    >>> metric = TokenEntropy()
    >>> metric.update([["a", "b"], ["a", "a"]])
    >>> metric.compute().item()
    0.5
    """

    higher_is_better: bool | None = True

    def update(self, tokens: Sequence[Sequence[str]]) -> None:
        """Add generations as lists of tokens."""
        self.add(torch.tensor([token_entropy(row) for row in tokens], dtype=torch.float64))


class TextSimilarity(RowMeanMetric):
    """Mean similarity of generation and answer, max(0, cosine) (closer-look). Up on the retain set.

    Args:
        encoder: What compares two texts; None takes the cosine of character trigrams.

    >>> metric = TextSimilarity()
    >>> metric.update(["born in Lagos", ""], ["Born in Lagos.", "Rome"])
    >>> metric.compute().item(), metric.encoder.name
    (0.5, 'character trigrams')
    """

    higher_is_better: bool | None = True

    def __init__(self, encoder: Similarity | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.encoder: Similarity = encoder or TrigramSimilarity()

    def update(self, predictions: Sequence[str], targets: Sequence[str]) -> None:
        """Add pairs of generated and true texts.

        Raises:
            MismatchError: Not as many predictions as targets.
        """
        require_pairs(predictions, targets)
        scores = self.encoder(list(zip(predictions, targets, strict=True)))
        self.add(torch.tensor(scores, dtype=torch.float64))


class EntailmentScore(RowMeanMetric):
    """Share of rows whose generation and answer entail (closer-look). Up on the retain set.

    Args:
        judge: What says whether one text follows from another; None takes the lexical proxy.
        generation_first: Whether the generation is the premise, as on the forget set and for refusals.

    >>> metric = EntailmentScore()
    >>> metric.update(["He lives in Lagos.", "Rome"], ["Lagos", "Lagos"])
    >>> metric.compute().item(), metric.judge.name
    (0.5, 'lexical proxy')
    """

    higher_is_better: bool | None = True

    def __init__(self, judge: Judge | None = None, generation_first: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.judge: Judge = judge or LexicalJudge()
        self.generation_first = generation_first

    def update(self, generations: Sequence[str], truths: Sequence[str]) -> None:
        """Add generations and what they are compared with.

        Raises:
            MismatchError: Not as many generations as truths.
        """
        found = entailed(generations, truths, self.judge, generation_first=self.generation_first)
        self.add(torch.tensor(found, dtype=torch.float64))


class ModelCapability(HarmonicMetric):
    """Harmonic mean of six numbers x three sets (closer-look's model utility; paper 002's MC and MU). Up.

    Attributes:
        result: After ``compute``: the value with its eighteen parts by name.

    >>> metric = ModelCapability()
    >>> for part in CAPABILITY_PARTS:
    ...     metric.update(part, [0.25, 0.75])
    >>> metric.compute().item(), metric.result.n
    (0.5, 18)
    """

    parts = CAPABILITY_PARTS
    combine = staticmethod(model_capability)


class ForgetEfficacy(PartsMetric):
    """1 - the mean of five numbers of the forget set (closer-look; paper 002's FE and UFE). Up.

    ``forget_truth_ratio`` takes min(R, 1/R) a row, as ``ForgetTruthRatio`` does.

    >>> metric = ForgetEfficacy()
    >>> for part in EFFICACY_PARTS:
    ...     metric.update(part, [0.5])
    >>> metric.compute().item()
    0.5
    """

    parts = EFFICACY_PARTS

    def compute(self) -> Tensor:
        """Return a float64 scalar.

        Raises:
            DataError: A part has no rows on any rank.
        """
        return torch.tensor(forget_efficacy(self.means()), dtype=torch.float64)
