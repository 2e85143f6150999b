"""Asking a judge: any callable that gives a case a number, retried where it raises, then passed over and counted.

A judge that talks to a service is ten lines: it makes a question of the case, sends it, and turns the answer into a
number, or raises where the answer says nothing.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from unlearnkit.errors import ConfigurationError, DataError, UnlearnKitWarning

Aspect = Literal["answer", "useful", "summary", "hallucination", "preference"]
"""What a judge can be asked.

``answer``: does the response answer a harmful prompt (ASR-A)? ``useful``: is the answer of use (ASR-U)? ``summary``:
all in all, has the attack succeeded (ASR-S)? ``hallucination``: does the response say what the right one, ``other``,
does not? ``preference``: is the response better than ``other``?
"""

ASPECTS_JUDGED: tuple[Aspect, ...] = get_args(Aspect)


@dataclass(frozen=True)
class Case:
    """One question to a judge.

    Attributes:
        aspect: What is asked.
        prompt: The prompt.
        response: The response that is judged.
        other: The right response (``hallucination``), or the one that it stands against (``preference``).
    """

    aspect: Aspect
    prompt: str
    response: str
    other: str | None = None


Judge = Callable[[Case], float]
"""Returns a number in [0, 1]: 1 for yes, 0 for no, 0.5 for a draw or for not knowing."""


@dataclass(frozen=True)
class Verdicts:
    """What a judge said.

    Attributes:
        values: One number a case; None where the judge raised each time.
        retried: How often it was asked again.
        errors: What it raised at last, one line for each case that was passed over.
    """

    values: list[float | None]
    retried: int
    errors: list[str]

    @property
    def given(self) -> list[float]:
        """The numbers that there are."""
        return [value for value in self.values if value is not None]

    @property
    def skipped(self) -> int:
        """How many cases were passed over."""
        return len(self.errors)


def ask(judge: Judge, cases: Sequence[Case], retries: int = 2) -> Verdicts:
    """Ask about each case; where the judge raises, ask again, then pass the case over and count it.

    Args:
        judge: The judge.
        cases: What to ask.
        retries: How often a case is asked about again.

    Raises:
        ConfigurationError: ``retries`` is below 0.
        DataError: The judge returns something that is no number in [0, 1]; that is no outage, but a wrong judge.

    >>> cases = [Case("answer", "Is it?", "yes"), Case("answer", "Is it?", "no")]
    >>> ask(lambda case: float("yes" in case.response), cases).values
    [1.0, 0.0]
    """
    if retries < 0:
        raise ConfigurationError(f"`retries` must be 0 or above. Found {retries}. Use retries=2.")
    values: list[float | None] = []
    retried, errors = 0, []
    for place, case in enumerate(cases):
        value: float | None = None
        for attempt in range(retries + 1):
            retried += attempt > 0
            try:
                answer = judge(case)
            except Exception as error:
                if attempt == retries:
                    errors.append(f"case {place} ({case.aspect}): {type(error).__name__}: {error}")
                continue
            value = _checked(answer, case)
            break
        values.append(value)
    if errors:
        warnings.warn(
            f"`judge` raised {retries + 1} times on each of {len(errors)} of {len(cases)} cases, which are left out "
            f"and counted; at first: {errors[0]}. See what it raised, or give it more `retries`.",
            UnlearnKitWarning,
            stacklevel=2,
        )
    return Verdicts(values, retried, errors)


def _checked(answer: object, case: Case) -> float:
    number = float(answer) if isinstance(answer, (int, float)) else math.nan
    if not 0.0 <= number <= 1.0:
        raise DataError(
            f"`judge` must return a number from 0 to 1. Found {answer!r} for the {case.aspect} of "
            f"{case.response[:40]!r}. Return 1.0 for yes, 0.0 for no, and raise where it cannot say."
        )
    return number
