"""Gap and Std over seeds: numbers worked out by hand, intervals that hold them, and where there is no table."""

from __future__ import annotations

import re

from unlearnkit.metrics.functional.gap import NUMBERS
from unlearnkit.study.gap_table import gap_table


def results(**methods):
    """Return results from ``method -> seeds -> (FA, RA, TA, MIA)``."""
    rows = []
    for name, seeds in methods.items():
        role = name if name in ("target", "retrained") else "method"
        for seed, values in enumerate(seeds):
            summary = dict(zip(NUMBERS, values, strict=True))
            rows.append({"role": role, "method": name, "label": name, "seed": seed, "summary": summary})
    return {"evaluation": "classification", "rows": rows}


FULL = results(
    retrained=[(0.80, 1.0, 0.90, 0.70), (0.82, 1.0, 0.92, 0.72)],
    target=[(1.0, 1.0, 0.9, 0.9)] * 2,
    rl=[(0.79, 0.98, 0.89, 0.60), (0.85, 1.00, 0.91, 0.70)],
    lost=[(0.1, 0.1, 0.1, None), (0.1, 0.1, 0.1, 0.5)],
)


def line(grid, name):
    return next([cell.wide for cell in row[1:]] for row in grid.rows if row[0].wide == name)


def test_the_numbers_are_those_of_the_definition():
    grid = gap_table(FULL)
    found = line(grid, "rl")
    assert found[:4] == ["82.0 (1.0)", "99.0 (1.0)", "90.0 (1.0)", "65.0 (6.0)"]
    assert found[4].startswith("2.25 [")  # (1 + 1 + 1 + 6) / 4
    assert found[5].startswith("2.50 [")  # (3 + 1 + 1 + 5) / 4
    assert line(grid, "retrained") == ["81.0", "100.0", "91.0", "71.0", "–", "0.75"]


def test_intervals_hold_the_number_and_what_single_seeds_give():
    low, high = map(float, re.findall(r"[\d.]+", line(gap_table(FULL), "rl")[4])[1:])
    # Of two seeds a draw is one of them twice, or both: gaps (1 + 2 + 1 + 10) / 4, (3 + 0 + 1 + 2) / 4 and 2.25.
    assert (low, high) == (1.5, 3.5)


def test_a_seed_that_diverged_leaves_the_gap_out():
    assert line(gap_table(FULL), "lost") == ["10.0 (71.0)", "10.0 (90.0)", "10.0 (81.0)", "–", "–", "–"]


def test_where_there_is_none():
    assert gap_table(FULL | {"evaluation": "tofu"}) is None
    assert (
        gap_table(results(retrained=[(0.8, 1.0, 0.9, 0.7)], target=[(1, 1, 1, 1)], rl=[(1, 1, 1, 1)])) is None
    )
    assert gap_table(results(target=[(1, 1, 1, 1)] * 2, rl=[(1, 1, 1, 1)] * 2)) is None


def test_without_attacks_there_is_none():
    rows = [
        row | {"summary": {k: v for k, v in row["summary"].items() if k != NUMBERS[3]}}
        for row in FULL["rows"]
    ]
    assert gap_table(FULL | {"rows": rows}) is None


def test_a_reference_that_seeds_share_has_no_spread():
    """All its rows are one model, so that 0.00 would be no finding."""
    same = results(retrained=[(0.8, 1.0, 0.9, 0.7)] * 2, target=[(1.0, 1.0, 0.9, 0.9)] * 2)
    grid = gap_table(same | {"protocol": {"target_seed": 0}})
    assert line(grid, "retrained")[-1] == "–" and "share one retrained reference" in grid.markdown()
    assert line(gap_table(FULL), "retrained")[-1] == "0.75" and "share" not in gap_table(FULL).markdown()


def test_it_says_what_it_is():
    text = gap_table(FULL).markdown()
    assert "as in paper 002" in text and "bootstrap" in text and "Std divides by the number of seeds" in text
