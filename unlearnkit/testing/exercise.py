"""Checks of a notebook's exercises: ``ok``, or a hint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from unlearnkit.errors import ConfigurationError


@dataclass(frozen=True)
class Case:
    """One input of an exercise's function and what is to come out.

    Attributes:
        arguments: Positional arguments.
        expected: The result (tensors and numbers are compared to a relative 1e-4), or a function that says
            whether a result is right.
        hint: What to think about where it is not.
    """

    arguments: tuple[Any, ...]
    expected: Any
    hint: str


@dataclass(frozen=True)
class Holds:
    """A claim about an exercise's answer.

    Attributes:
        claim: Called with the answer; an AssertionError or False says that it does not hold.
        hint: What to think about then; empty shows the assertion's own message.
    """

    claim: Callable[[Any], Any]
    hint: str = ""


def check(answer: Any, *cases: Case | Holds) -> None:
    """Print ``ok`` with the number of checks, or the hint of the first one that fails.

    A notebook goes on after a wrong answer, so nothing is raised.

    Args:
        answer: What the exercise asks for: a function, or any object for ``Holds``.
        cases: What it must do.

    Raises:
        ConfigurationError: There is nothing to check.

    >>> check(lambda x: x + 1, Case((1,), 2, "Add one."), Case((torch.tensor(2.0),), 3.0, "Also to tensors."))
    ok: 2 checks
    >>> check(lambda x: x, Case((1,), 2, "Add one."))
    not yet (check 1 of 1): Add one. Found 1, expected 2.
    """
    if not cases:
        raise ConfigurationError(
            "`cases` must hold at least one check. Found none. Give Case(...) or Holds(...)."
        )
    for number, case in enumerate(cases, 1):
        problem = _problem(answer, case)
        if problem is not None:
            print(f"not yet (check {number} of {len(cases)}): {problem}")
            return
    print(f"ok: {len(cases)} check{'s' if len(cases) > 1 else ''}")


def _problem(answer: Any, case: Case | Holds) -> str | None:
    """Return what is to be said of a case that fails, or None."""
    try:
        return _claim(answer, case) if isinstance(case, Holds) else _compare(answer, case)
    except NotImplementedError as error:
        return f"{error or 'the exercise is not written yet'}"
    except Exception as error:  # whatever a learner's code raises is shown beside the hint
        return f"{case.hint} It raised {type(error).__name__}: {error}".strip()


def _claim(answer: Any, case: Holds) -> str | None:
    try:
        held = case.claim(answer)
    except AssertionError as error:
        return case.hint or str(error) or "an assertion does not hold"
    return (case.hint or "the claim does not hold") if held is False else None


def _compare(answer: Any, case: Case) -> str | None:
    found = answer(*case.arguments)
    if callable(case.expected):
        return None if case.expected(found) else f"{case.hint} Found {_shown(found)}."
    if _equal(found, case.expected):
        return None
    return f"{case.hint} Found {_shown(found)}, expected {_shown(case.expected)}."


def _equal(found: Any, expected: Any) -> bool:
    if isinstance(expected, (torch.Tensor, int, float)) and not isinstance(expected, bool):
        if not isinstance(found, (torch.Tensor, int, float)):
            return False
        left, right = torch.as_tensor(found).double(), torch.as_tensor(expected).double()
        return left.shape == right.shape and torch.allclose(left, right, rtol=1e-4, atol=1e-6)
    return bool(found == expected)


def _shown(value: Any) -> str:
    """Print a value as a learner would."""
    if isinstance(value, torch.Tensor):
        numbers = [round(float(entry), 4) for entry in value.detach().flatten()[:6]]
        return str(numbers[0]) if value.dim() == 0 else f"{numbers} (shape {tuple(value.shape)})"
    return f"{value:.4g}" if isinstance(value, float) else repr(value)
