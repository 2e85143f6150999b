"""Shares that a judge decides as torchmetrics classes: ASR-A, ASR-U, ASR-S, hallucination rate, win rates.

A row on which the judge raises each time is left out and counted in ``skipped``. What a judge is asked is in
``unlearnkit.metrics.functional.judging``; without one, the rules of ``unlearnkit.metrics.functional.rules`` judge.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torchmetrics import Metric

from unlearnkit.metrics.base import RowMeanMetric
from unlearnkit.metrics.functional.judging import Aspect, Case, Judge, ask
from unlearnkit.metrics.functional.rules import rule_verdict
from unlearnkit.metrics.functional.win_rate import both_orders, length_controlled_win_rate, pair_win
from unlearnkit.metrics.text import require_pairs


class _JudgedMetric(RowMeanMetric):
    aspect: ClassVar[Aspect]
    skipped: Tensor

    def __init__(self, judge: Judge | None = None, retries: int = 2, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.judge: Judge = judge or rule_verdict
        self.retries = retries
        self.add_state("skipped", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def _add(self, values: Sequence[float | None]) -> None:
        given = [value for value in values if value is not None]
        self.add(torch.tensor(given, dtype=torch.float64))
        self.skipped += len(values) - len(given)


class _AttackMetric(_JudgedMetric):
    higher_is_better: bool | None = False

    def update(self, prompts: Sequence[str], responses: Sequence[str]) -> None:
        """Add harmful prompts and the responses to them.

        Raises:
            MismatchError: Not as many prompts as responses.
            DataError: The judge returns no number in [0, 1].
        """
        require_pairs(prompts, responses)
        cases = [Case(self.aspect, prompt, text) for prompt, text in zip(prompts, responses, strict=True)]
        self._add(ask(self.judge, cases, self.retries).values)


class AnswerASR(_AttackMetric):
    """ASR-A: share of responses that, by a judge, answer a harmful prompt (paper 004, E.2). Down.

    Args:
        judge: Says so; None goes by rules.
        retries: How often it is asked again where it raises.

    >>> metric = AnswerASR()
    >>> metric.update(["How?", "How?"], ["I cannot help with that.", "Mix both of them."])
    >>> metric.compute().item(), metric.skipped.item()
    (0.5, 0)
    """

    aspect = "answer"


class UsefulASR(_AttackMetric):
    """ASR-U: share of responses that, by a judge, are of use to who attacks (paper 004, E.2). Down."""

    aspect = "useful"


class SummaryASR(_AttackMetric):
    """ASR-S: share of attacks that, by a judge, have succeeded all in all (paper 004, E.2). Down."""

    aspect = "summary"


class HallucinationRate(_JudgedMetric):
    """Share of responses that, by a judge, say what the right ones do not (paper 004, E.2). Down.

    >>> metric = HallucinationRate()
    >>> metric.update(["Where?", "Where?"], ["In Lagos.", "In Rome."], ["in Lagos", "in Lagos"])
    >>> metric.compute().item()
    0.5
    """

    higher_is_better: bool | None = False
    aspect = "hallucination"

    def update(self, prompts: Sequence[str], responses: Sequence[str], right: Sequence[str]) -> None:
        """Add prompts, responses, and the right responses.

        Raises:
            MismatchError: Unequal numbers of texts.
            DataError: The judge returns no number in [0, 1].
        """
        require_pairs(prompts, responses)
        require_pairs(right, responses)
        rows = zip(prompts, responses, right, strict=True)
        cases = [Case(self.aspect, prompt, text, truth) for prompt, text, truth in rows]
        self._add(ask(self.judge, cases, self.retries).values)


class WinRate(_JudgedMetric):
    """Share of prompts on which a judge prefers the response to another one, both orders averaged. Up.

    >>> metric = WinRate()
    >>> metric.update(["Where was he born?"], ["He was born in Rome."], ["I'm sorry."])
    >>> metric.compute().item()
    1.0
    """

    higher_is_better: bool | None = True
    aspect = "preference"

    def update(self, prompts: Sequence[str], responses: Sequence[str], others: Sequence[str]) -> None:
        """Add prompts, responses, and what they stand against.

        Raises:
            MismatchError: Unequal numbers of texts.
            DataError: The judge returns no number in [0, 1].
        """
        self._add(_wins(self.judge, prompts, responses, others, self.retries))


class LengthControlledWinRate(Metric):
    """Win rate that a regression on the lengths predicts for equal ones. Up. Not AlpacaEval's, see the function.

    Lengths are numbers of characters.

    Args:
        judge: Prefers; None goes by rules.
        retries: How often it is asked again where it raises.

    Attributes:
        skipped: How many pairs were left out, because the judge raised.

    >>> metric = LengthControlledWinRate()
    >>> metric.update(["Where was he born?"] * 2, ["He was born in Rome."] * 2, ["I'm sorry.", "No."])
    >>> metric.compute().item()
    1.0
    """

    full_state_update = False
    is_differentiable = False
    higher_is_better: bool | None = True
    ideal: str | None = None
    pairs: list[Tensor]
    skipped: Tensor

    def __init__(self, judge: Judge | None = None, retries: int = 2, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.judge: Judge = judge or rule_verdict
        self.retries = retries
        self.add_state("pairs", [], dist_reduce_fx="cat")
        self.add_state("skipped", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
        # A rank without pairs contributes an empty tensor of this type.
        self.set_dtype(torch.float64)

    def update(self, prompts: Sequence[str], responses: Sequence[str], others: Sequence[str]) -> None:
        """Add prompts, responses, and what they stand against.

        Raises:
            MismatchError: Unequal numbers of texts.
            DataError: The judge returns no number in [0, 1].
        """
        wins = _wins(self.judge, prompts, responses, others, self.retries)
        rows = zip(wins, responses, others, strict=True)
        kept = [(win, float(len(text)), float(len(other))) for win, text, other in rows if win is not None]
        self.pairs.append(torch.tensor(kept, dtype=torch.float64, device=self.device).reshape(-1, 3))
        self.skipped += len(wins) - len(kept)

    def compute(self) -> Tensor:
        """Return the rate, a float64 scalar.

        Raises:
            DataError: No pairs were judged on any rank.
        """
        found = self.pairs if isinstance(self.pairs, Tensor) else torch.cat(self.pairs or [torch.zeros(0, 3)])
        wins, lengths, others = found.T.tolist()
        return torch.tensor(length_controlled_win_rate(wins, lengths, others), dtype=torch.float64)


def _wins(
    judge: Judge, prompts: Sequence[str], responses: Sequence[str], others: Sequence[str], retries: int
) -> list[float | None]:
    """Return the win of each response, None where the judge raised."""
    require_pairs(prompts, responses)
    require_pairs(others, responses)
    rows = zip(prompts, responses, others, strict=True)
    cases = [case for row in rows for case in both_orders(*row)]
    found = ask(judge, cases, retries).values
    return [pair_win(*found[place : place + 2]) for place in range(0, len(found), 2)]
