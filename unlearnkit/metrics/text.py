"""ROUGE as torchmetrics classes; the formulas are in ``unlearnkit.metrics.functional.text``."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from unlearnkit.errors import MismatchError
from unlearnkit.metrics.base import RowMeanMetric
from unlearnkit.metrics.functional.text import rouge_1_recall, rouge_l_f, rouge_l_recall, unstemmed_rouge_l_f


def require_pairs(predictions: Sequence[str], targets: Sequence[str]) -> None:
    """Refuse generations that do not pair with their targets.

    Raises:
        MismatchError: Not as many predictions as targets.
    """
    if len(predictions) != len(targets):
        raise MismatchError(
            f"`predictions` must have one text for each of `targets`. Found {len(predictions)} for "
            f"{len(targets)}. Pass the generations of the same rows in the same order."
        )


class _RougeMetric(RowMeanMetric):
    higher_is_better: bool | None = True
    _score: Callable[[str, str], float]

    def update(self, predictions: Sequence[str], targets: Sequence[str]) -> None:
        """Add pairs of generated and true texts.

        Raises:
            MismatchError: Not as many predictions as targets.
        """
        require_pairs(predictions, targets)
        scores = [type(self)._score(text, target) for text, target in zip(predictions, targets, strict=True)]
        self.add(torch.tensor(scores, dtype=torch.float64))


class RougeLRecall(_RougeMetric):
    """Mean ROUGE-L recall, LCS / |target| (TOFU; paper 001, eqs. 8-10). Up on the retain set.

    >>> metric = RougeLRecall()
    >>> metric.update(["a b c d", "x"], ["a c d e", "x"])
    >>> metric.compute().item(), metric.higher_is_better
    (0.875, True)
    """

    _score = staticmethod(rouge_l_recall)


class RougeLF(_RougeMetric):
    """Mean ROUGE-L F, 2PR / (P + R), with the stemmer (open-unlearning's MUSE). Up on the retain set."""

    _score = staticmethod(rouge_l_f)


class UnstemmedRougeLF(_RougeMetric):
    """Mean ROUGE-L F of the words as they are (MUSE's verbatim and knowledge memorisation). Up on the retain set.

    >>> metric = UnstemmedRougeLF()
    >>> metric.update(["two bridges"], ["two bridge"])
    >>> metric.compute().item()
    0.5
    """

    _score = staticmethod(unstemmed_rouge_l_f)


class Rouge1Recall(_RougeMetric):
    """Mean ROUGE-1 recall, shared tokens / |target| (logged by TOFU). Up on the retain set."""

    _score = staticmethod(rouge_1_recall)


class Utility(RougeLRecall):
    """Utility of paper 001 (eq. 10): mean ROUGE-L recall of the answers to the retain questions. Up."""


class Verbmem(RougeLRecall):
    """Verbmem of paper 001 (eq. 8): mean ROUGE-L recall of the continuations of the forget set. Down.

    On TOFU the prompt is the question. Paper 001 ranks lower as better; the retrained model is not at 0
    either, because its answers share the templates.
    """

    higher_is_better: bool | None = False
