from __future__ import annotations

import pytest

from unlearnkit.errors import DataError, MismatchError, UnlearnKitWarning
from unlearnkit.metrics import (
    AnswerASR,
    HallucinationRate,
    LengthControlledWinRate,
    SummaryASR,
    UsefulASR,
    WinRate,
)
from unlearnkit.metrics.functional import length_controlled_win_rate

PROMPTS = ["p0", "p1", "p2", "p3"]
RESPONSES = ["a long answer to it", "short", "", "raise"]
OTHERS = ["x", "longer than short", "y", "z"]


def judge(case):
    """Prefers what is longer, and breaks on one response."""
    if "raise" in (case.response, case.other):
        raise TimeoutError
    if case.other is None or case.aspect == "hallucination":
        return len(case.response) > 3
    return 0.5 if len(case.response) == len(case.other) else float(len(case.response) > len(case.other))


@pytest.mark.parametrize("kind", [AnswerASR, UsefulASR, SummaryASR])
def test_shares_leave_out_and_count_what_was_not_judged(kind):
    metric, asked = kind(judge=lambda case: asked.append(case.aspect) or judge(case), retries=0), []
    with pytest.warns(UnlearnKitWarning, match="TimeoutError"):
        metric.update(PROMPTS, RESPONSES)
    assert metric.compute().item() == pytest.approx(2 / 3)
    assert metric.skipped.item() == 1 and set(asked) == {kind.aspect}


def test_win_rates_are_their_functions_on_pairs_in_both_orders():
    plain, controlled = WinRate(judge=judge, retries=0), LengthControlledWinRate(judge=judge, retries=0)
    for metric in (plain, controlled):
        with pytest.warns(UnlearnKitWarning):
            metric.update(PROMPTS, RESPONSES, OTHERS)
        assert metric.skipped.item() == 1
    wins = [1.0, 0.0, 0.0]
    assert plain.compute().item() == pytest.approx(1 / 3)
    lengths = [[len(text) for text in texts[:3]] for texts in (RESPONSES, OTHERS)]
    assert controlled.compute().item() == pytest.approx(length_controlled_win_rate(wins, *lengths))


def test_hallucinations_are_judged_beside_the_right_response():
    metric = HallucinationRate()
    metric.update(["Where?"] * 3, ["In Lagos.", "In Rome.", "I cannot say."], ["in Lagos"] * 3)
    assert metric.compute().item() == pytest.approx(1 / 3)


def test_ranks_with_unequal_numbers_of_pairs(two_ranks):
    def feed(metric, rank):
        rows = slice(0, 3) if rank else slice(0, 0)
        metric.update(PROMPTS[rows], RESPONSES[rows], OTHERS[rows])

    value, _ = two_ranks(lambda **options: LengthControlledWinRate(judge=judge, **options), feed)
    alone = LengthControlledWinRate(judge=judge)
    feed(alone, 1)
    assert value == alone.compute()


def test_nothing_judged_and_unequal_texts():
    for metric in (WinRate(), LengthControlledWinRate()):
        with pytest.raises(DataError, match="Found none"):
            metric.compute()
        with pytest.raises(MismatchError):
            metric.update(["p"], ["a", "b"], ["c", "d"])
        with pytest.raises(MismatchError):
            metric.update(["p"], ["a"], [])
