"""Pairs of methods that differ in how they step."""

from __future__ import annotations

from typing import Any

import pytest

from unlearnkit.metrics.functional.gap import NUMBERS
from unlearnkit.study.paired_gap import paired_table, stepping_pairs


def _row(method: str, seed: int, value: float, role: str = "method", **more: Any) -> dict[str, Any]:
    summary = dict.fromkeys(NUMBERS, value)
    return {"method": method, "label": method, "role": role, "seed": seed, "summary": summary, **more}


def _results(*methods: tuple[str, list[float]]) -> dict[str, Any]:
    rows = []
    for seed in range(3):
        rows += [_row("retrained", seed, 0.5, "retrained"), _row("target", seed, 0.9, "target")]
        for name, values in methods:
            end = {"round": 10, **dict.fromkeys(NUMBERS, values[seed])}
            rows.append(_row(name, seed, values[seed], path=[end]))
    return {"rows": rows, "evaluation": "classification", "protocol": {}}


PLAIN, OTHER = ("scrub@1e-3", [0.60, 0.62, 0.64]), ("scrub_dual_optim@1e-4", [0.55, 0.57, 0.59])


def test_pairs_are_found_by_name_and_a_search_is_none() -> None:
    results = _results(PLAIN, OTHER, ("scrub_dual_optim_plus", [0.5] * 3), ("ngdiff", [0.5] * 3))
    assert stepping_pairs(results) == [
        ("scrub_dual_optim@1e-4", "scrub@1e-3"),
        ("scrub_dual_optim_plus", "scrub@1e-3"),
    ]
    searched = _results(PLAIN, ("scrub@3e-3", [0.6] * 3), OTHER)
    assert stepping_pairs(searched) == []


def test_a_constant_change_is_exact_and_its_interval_empty() -> None:
    """Each seed's gap is five points lower, whatever seeds are drawn; the spread over seeds is the same."""
    table = paired_table(_results(PLAIN, OTHER))
    assert table is not None
    text = table.markdown()
    assert "-5.00 [-5.00, -5.00]" in text and "3 of 3" in text
    assert "+0.00 [" in text or "-0.00 [" in text


def test_std_at_matched_forgetting_is_that_of_the_crossings() -> None:
    """Both paths are straight from the target's 0.9: all numbers equal FA, so they agree where FA is the level's."""
    down = [("scrub", [0.4, 0.45, 0.5]), ("scrub_alternate", [0.4, 0.3, 0.2])]
    table = paired_table(_results(*down))
    assert table is not None and "0.00 (0.00)" in table.markdown()
    table = paired_table(_results(PLAIN, OTHER))
    assert table is not None and "– (–)" in table.markdown()


@pytest.mark.parametrize("change", ["evaluation", "number", "seeds"])
def test_no_table_where_there_is_no_gap(change: str) -> None:
    results = _results(PLAIN, OTHER)
    if change == "evaluation":
        results["evaluation"] = "tofu"
    elif change == "number":
        del results["rows"][2]["summary"][NUMBERS[3]]
    else:
        results["rows"] = [row for row in results["rows"] if row["seed"] == 0]
    assert paired_table(results) is None
