"""A judge is asked again, then passed over and counted; a wrong judge is refused."""

from __future__ import annotations

import pytest

from unlearnkit.errors import ConfigurationError, DataError, UnlearnKitWarning
from unlearnkit.metrics.functional import Case, ask

CASES = [Case("answer", "Is it?", text) for text in ("yes", "maybe", "no")]


class Flaky:
    """Raises the first ``times`` times that it is asked about a response."""

    def __init__(self, **times):
        self.times = dict(times)
        self.asked = []

    def __call__(self, case):
        self.asked.append(case.response)
        if self.times.get(case.response, 0) > 0:
            self.times[case.response] -= 1
            raise ConnectionError("no answer")
        return 1.0 if case.response == "yes" else 0.0


def test_it_is_asked_again_where_it_raises():
    judge = Flaky(maybe=2)
    found = ask(judge, CASES, retries=2)
    assert found.values == [1.0, 0.0, 0.0]
    assert (found.retried, found.skipped) == (2, 0)
    assert judge.asked == ["yes", "maybe", "maybe", "maybe", "no"]


def test_a_row_it_never_answers_is_left_out_and_counted():
    with pytest.warns(
        UnlearnKitWarning, match=r"raised 2 times on each of 1 of 3 cases.*ConnectionError: no answer"
    ):
        found = ask(Flaky(maybe=9), CASES, retries=1)
    assert found.values == [1.0, None, 0.0] and found.given == [1.0, 0.0]
    assert found.skipped == 1 and found.errors == ["case 1 (answer): ConnectionError: no answer"]


@pytest.mark.parametrize("answer", [1.5, -0.1, float("nan"), "yes", None])
def test_an_answer_that_is_no_share_is_a_wrong_judge(answer):
    with pytest.raises(DataError, match="`judge` must return a number from 0 to 1"):
        ask(lambda case: answer, CASES)


def test_an_interrupt_is_no_outage():
    def stop(case):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ask(stop, CASES)


def test_booleans_count_and_retries_are_not_negative():
    assert ask(lambda case: case.response == "yes", CASES, retries=0).values == [1.0, 0.0, 0.0]
    with pytest.raises(ConfigurationError, match="`retries` must be 0 or above"):
        ask(lambda case: 1.0, CASES, retries=-1)
