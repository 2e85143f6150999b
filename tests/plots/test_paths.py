"""Reading a results dict: what is missing is NaN, what is not recorded is not invented."""

from __future__ import annotations

import math
from typing import Any

import pytest

from unlearnkit.errors import ConfigurationError
from unlearnkit.plots.paths import label_of, mean, methods_of, number, path_of, role_values, rows_of, value_of


def target(seed: int, rouge: float) -> dict[str, Any]:
    return {"role": "target", "seed": seed, "summary": {"forget_rouge": rouge}}


@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf, "0.5", [0.5], {}])
def test_what_is_not_a_finite_number_is_nan(value: object) -> None:
    assert math.isnan(number(value))


def test_a_path_starts_at_the_target_of_its_seed() -> None:
    row = {"role": "method", "seed": 1, "path": [{"round": 5, "forget_rouge": 0.2}]}
    results = {"rows": [target(0, 0.9), target(1, 0.8), row]}
    assert [point["forget_rouge"] for point in path_of(results, row)] == [0.8, 0.2]


def test_without_a_target_of_its_seed_the_first_one_serves() -> None:
    row = {"role": "method", "seed": 7, "path": [{"round": 5, "forget_rouge": 0.2}]}
    assert path_of({"rows": [target(0, 0.9), row]}, row)[0] == {"forget_rouge": 0.9, "round": 0.0}
    assert [point["round"] for point in path_of({"rows": [row]}, row)] == [5.0]


def test_a_path_s_own_start_is_kept_and_rounds_are_sorted() -> None:
    row = {"role": "method", "path": [{"round": 5}, {"round": 0, "forget_rouge": 0.7}, {"loss": 1.0}]}
    points = path_of({"rows": [target(0, 0.9), row]}, row)
    assert points == [{"round": 0.0, "forget_rouge": 0.7}, {"round": 5.0}]


@pytest.mark.parametrize("path", [None, []])
def test_no_path_stays_no_path(path: object) -> None:
    row = {"role": "method", "seed": 0, "path": path, "summary": {"forget_rouge": 0.1}}
    assert path_of({"rows": [target(0, 0.9), row]}, row) == []


def test_a_role_is_read_where_paths_are_else_in_its_summary() -> None:
    measured = target(0, 0.9) | {"path": [{"round": 0, "forget_rouge": 0.95}]}
    rows = [measured, target(1, 0.8), target(2, math.inf)]
    found = role_values({"rows": rows}, "target", "forget_rouge")
    assert found[:2] == [0.95, 0.8]
    assert math.isnan(found[2])


def test_methods_keep_their_order_and_their_seeds() -> None:
    rows = [{"role": "method", "method": name, "seed": seed} for seed in (0, 1) for name in ("npo", "ga")]
    found = methods_of({"rows": [target(0, 1.0), *rows]})
    assert {name: [row["seed"] for row in seeds] for name, seeds in found.items()} == {
        "npo": [0, 1],
        "ga": [0, 1],
    }


def test_values_come_from_the_summary_or_the_row() -> None:
    assert value_of({"summary": {"a": 1}, "seconds": 3}, "seconds") == 3
    assert math.isnan(value_of({"summary": None}, "a"))
    assert math.isnan(value_of({"summary": {"a": None}, "a": 2.0}, "a"))


def test_labels_fall_back_to_the_name() -> None:
    assert [label_of({"label": "L", "method": "m"}), label_of({"method": "m"}), label_of({"role": "r"})] == [
        "L",
        "m",
        "r",
    ]


def test_the_mean_passes_over_nan() -> None:
    assert mean([math.nan, 2.0, 4.0]) == 3.0
    assert math.isnan(mean([]))


@pytest.mark.parametrize("results", [{}, {"rows": None}, {"rows": {"a": 1}}])
def test_results_without_rows_are_refused(results: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"`results` must hold a list `rows`.*results\.json"):
        rows_of(results)
