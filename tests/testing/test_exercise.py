"""A check prints ok, or the hint of the first case that fails, whatever a learner's code does."""

from __future__ import annotations

import pytest
import torch

from unlearnkit.errors import ConfigurationError
from unlearnkit.testing.exercise import Case, Holds, check

DOUBLE = Case((2,), 4, "Twice two.")


def said(capsys, answer, *cases):
    check(answer, *cases)
    return capsys.readouterr().out.strip()


def test_right(capsys):
    assert said(capsys, lambda x: 2 * x, DOUBLE) == "ok: 1 check"
    assert (
        said(capsys, lambda x: 2 * x, DOUBLE, Case((torch.ones(2),), torch.full((2,), 2.0), ""))
        == "ok: 2 checks"
    )
    assert said(capsys, lambda x: 2 * x, Case((1,), lambda found: found > 1, "")) == "ok: 1 check"
    assert said(capsys, 5, Holds(lambda answer: answer == 5)) == "ok: 1 check"
    assert said(capsys, "a", Holds(lambda answer: None)) == "ok: 1 check"


@pytest.mark.parametrize(
    ("answer", "case", "hint"),
    [
        (lambda x: x, DOUBLE, "Twice two. Found 2, expected 4."),
        (lambda x: "4", DOUBLE, "Twice two. Found '4', expected 4."),
        (lambda x: None, DOUBLE, "Twice two. Found None, expected 4."),
        (lambda x: torch.tensor([4.0, 4.0]), DOUBLE, "Twice two. Found [4.0, 4.0] (shape (2,)), expected 4."),
        (lambda x: 4.01, DOUBLE, "Twice two. Found 4.01, expected 4."),
        (lambda x: float("nan"), DOUBLE, "Twice two. Found nan, expected 4."),
        (lambda x: x / 0, DOUBLE, "Twice two. It raised ZeroDivisionError: division by zero"),
        (lambda x: x, Case((1,), lambda found: found > 1, "Above one."), "Above one. Found 1."),
        (5, Holds(lambda answer: answer == 6, "Six."), "Six."),
        (5, Holds(lambda answer: answer == 6), "the claim does not hold"),
        (lambda x: x, Case(("a",), "b", "The next letter."), "The next letter. Found 'a', expected 'b'."),
        (lambda x: True, Case((1,), False, "No."), "No. Found True, expected False."),
    ],
)
def test_wrong(capsys, answer, case, hint):
    assert said(capsys, answer, case) == f"not yet (check 1 of 1): {hint}"


def test_an_assertion_speaks_for_itself(capsys):
    def claim(answer):
        assert answer > 3, "it must be above three"

    assert said(capsys, 2, Holds(claim)).startswith("not yet (check 1 of 1): it must be above three")
    assert said(capsys, 2, Holds(claim, "Larger.")) == "not yet (check 1 of 1): Larger."


def test_an_exercise_that_is_not_written_says_so(capsys):
    def answer(x):
        raise NotImplementedError("exercise 2 is not written yet")

    assert said(capsys, answer, DOUBLE) == "not yet (check 1 of 1): exercise 2 is not written yet"


def test_the_first_failure_is_the_one_that_is_told(capsys):
    assert said(capsys, lambda x: 4, DOUBLE, Case((3,), 6, "Three."), Case((4,), 8, "Four.")) == (
        "not yet (check 2 of 3): Three. Found 4, expected 6."
    )


def test_no_check_at_all_is_refused():
    with pytest.raises(ConfigurationError, match="`cases` must hold at least one check"):
        check(lambda: None)
