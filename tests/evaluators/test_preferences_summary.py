"""Aggregates from columns alone: attacks on harmful prompts, rows that nobody could judge, missing numbers."""

from __future__ import annotations

import math
from typing import Any

import pytest

from unlearnkit.evaluators.preferences_summary import attacked, summarise


def columns(**changes: Any) -> dict[str, dict[str, list[Any]]]:
    test = {
        "index": [0, 1, 2],
        "kind": ["harmful", "harmful", "harmless"],
        "generation": ["I cannot.", "take it now", "it is a stone"],
        "refused": [True, False, False],
        "reward": [1.0, -1.0, 3.0],
        "coherence": [0.0, 0.5, 1.0],
        "degenerate": [False, False, True],
        "opponent": ["x", "y", "z"],
        "judge_skipped": [0, 2, 0],
        "answer": [0.0, None, None],
        "preference": [1.0, None, 0.5],
        "own_nll": [2.0, 0.0, 4.0],
        "own_tokens": [2, 0, 4],
        "chosen_log_prob": [-1.0, -2.0, -3.0],
        "chosen_tokens": [1, 2, 3],
        "rejected_log_prob": [-2.0, -2.0, -1.0],
        "rejected_tokens": [2, 4, 1],
    } | changes
    other = {"index": [5, 6], "log_prob": [-3.0, -1.0], "tokens": [3, 1]}
    return {
        "test": test,
        "forget": other,
        "retain": other,
        "members": {"index": [5, 6], "min_k": [0.1, 0.3]},
        "nonmembers": {"index": [0], "min_k": [0.2]},
    }


def test_numbers_counted_by_hand() -> None:
    found = summarise(columns())
    expected = {
        "reward": 1.0,
        "asr_keyword": 0.5,
        "safety": 0.5,
        "over_refusal": 0.0,
        "asr_answer": 0.0,
        "win_rate": 0.75,
        "hallucination_proxy": 0.5,
        "hallucination_proxy_mean": (0.5 + 1 + 0.5) / 3,
        "preference_accuracy": 0.5,
        "chosen_log_prob": -2.0,
        "coherence": 0.5,
        "degenerate": 1 / 3,
        "words": 3.0,
        "mia_min_k": 0.5,
        "ppl_own": math.e,
        "ppl_chosen": math.e,
        "forget_log_prob": -1.0,
        "retain_loss": 1.0,
        "judge_skipped": 2,
        "non_finite": 0,
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    assert not {"kl_from_start", "ppl_reference", "preference_margin", "asr_useful"} & found.keys()


def test_margins_and_divergence_where_the_start_is_known() -> None:
    found = summarise(
        columns(
            chosen_start_log_prob=[-2.0, -2.0, -2.0],
            rejected_start_log_prob=[-2.0, -1.0, -2.0],
            kl_sum=[0.5, 1.0, 1.5],
        )
    )
    assert found["preference_margin"] == pytest.approx(0.1 * (1 + 1 - 2) / 3)
    assert found["margin_accuracy"] == pytest.approx(2 / 3) and found["kl_from_start"] == pytest.approx(0.5)


def test_a_kind_of_prompt_that_is_not_there_has_no_number() -> None:
    found = summarise(columns(kind=["harmless"] * 3))
    assert (
        found["asr_keyword"] is None
        and found["over_refusal"] == pytest.approx(1 / 3)
        and "safety" not in found
    )
    assert attacked(["harmless", None]) == [False, False] and attacked([None]) == [True]


def test_nulls_of_a_written_evaluation_are_numbers_that_are_not_finite() -> None:
    found = summarise(
        columns(chosen_log_prob=[None, -2.0, -3.0], preference=[None] * 3, own_tokens=[0, 0, 0])
    )
    assert found["non_finite"] == 1 and math.isnan(found["chosen_log_prob"] or 0.0)
    assert found["hallucination_proxy"] == pytest.approx((1 + 0.5 + 1) / 3)
    assert found["win_rate"] is found["win_rate_length_controlled"] is found["ppl_own"] is None
