"""Values at matched forgetting: crossing, interpolation, ranks, and what was not reached."""

from __future__ import annotations

import math
from typing import Any

import pytest

from unlearnkit.errors import ConfigurationError
from unlearnkit.plots.profiles import PROFILES
from unlearnkit.study.grid import MISSING
from unlearnkit.study.matched import crossing, matched, matched_table
from unlearnkit.testing.results import made_up_results


def results(
    paths: dict[str, list[list[tuple[float, Any, Any]]]], reference: float | None = 0.5
) -> dict[str, Any]:
    """Build results from ``method -> seeds -> (round, forget_rouge, utility)``; ``reference`` is the level."""
    own = None if reference is None else reference - PROFILES["tofu"].tolerance
    rows: list[dict[str, Any]] = [
        {
            "role": "target",
            "method": "target",
            "seed": 0,
            "summary": {"forget_rouge": 1.0, "model_utility": 1.0},
        },
        {
            "role": "retrained",
            "method": "retrained",
            "seed": 0,
            "summary": {"forget_rouge": own, "model_utility": 0.9},
        },
    ]
    for method, seeds in paths.items():
        for seed, path in enumerate(seeds):
            points = [{"round": at, "forget_rouge": rouge, "model_utility": kept} for at, rouge, kept in path]
            rows.append({"role": "method", "method": method, "seed": seed, "path": points, "summary": {}})
    return {"rows": rows}


def test_values_are_interpolated_between_the_rounds_around_the_level() -> None:
    found = matched(results({"ga": [[(10, 0.8, 0.9), (20, 0.4, 0.5)]]}))
    assert found.level == 0.5
    values = {key: spread.mean for key, spread in found.rows[0].values.items()}
    assert values == pytest.approx({"round": 17.5, "forget_rouge": 0.5, "model_utility": 0.6})


def test_the_way_from_the_target_counts() -> None:
    found = matched(results({"ga": [[(10, 0.25, 0.1)]]}))
    assert found.rows[0].values["round"].mean == pytest.approx(10 * 2 / 3)
    assert found.rows[0].values["model_utility"].mean == pytest.approx(0.4)


def test_the_first_crossing_counts_and_not_a_later_one() -> None:
    path = [(10, 0.4, 0.3), (20, 0.9, 0.95), (30, 0.4, 0.9)]
    assert matched(results({"ga": [path]})).rows[0].values["round"].mean < 10


def test_a_point_on_the_level_is_taken_as_it_is() -> None:
    point = {"round": 10.0, "forget_rouge": 0.5, "model_utility": 0.7, "retain_loss": math.nan}
    assert crossing([{"round": 0.0, "forget_rouge": 1.0}, point], "forget_rouge", 0.5) == point
    assert crossing([point], "forget_rouge", 0.9) == point


def test_rounds_without_the_matched_value_are_passed_over() -> None:
    found = matched(results({"ga": [[(10, None, 0.2), (20, math.nan, 0.1), (30, 0.0, 0.4)]]}))
    assert found.rows[0].values["round"].mean == pytest.approx(15)
    assert found.rows[0].values["model_utility"].mean == pytest.approx(0.7)


def test_a_path_that_never_comes_down_has_not_reached() -> None:
    data = results({"gd": [[(10, 0.99, 0.99)]], "ga": [[(10, 0.1, 0.1)]]})
    found = matched(data)
    assert [(row.method, row.rank, row.reached) for row in found.rows] == [("ga", 1, 1), ("gd", None, 0)]
    line = matched_table(data).rows[-1]
    assert [cell.wide for cell in line] == ["gd", MISSING, "not reached", MISSING, MISSING]


def test_a_method_without_a_path_is_said_to_have_none() -> None:
    data = results({"ga": [[]], "npo": [[(10, 0.0, 0.0)]]})
    line = matched_table(data).rows[-1]
    assert [cell.wide for cell in line[:3]] == ["ga", MISSING, "no path"]


def test_ranks_follow_utility_at_the_level_and_not_at_the_end() -> None:
    early = [(10, 0.5, 0.6), (20, 0.0, 0.99)]
    late = [(10, 0.5, 0.8), (20, 0.0, 0.01)]
    found = matched(results({"early": [early], "late": [late]}))
    assert [(row.rank, row.method) for row in found.rows] == [(1, "late"), (2, "early")]


def test_equal_values_share_a_rank_and_the_next_one_is_left_out() -> None:
    paths = {name: [[(10, 0.5, kept)]] for name, kept in (("a", 0.7), ("b", 0.9), ("c", 0.9), ("d", 0.1))}
    assert [(row.rank, row.method) for row in matched(results(paths)).rows] == [
        (1, "b"),
        (1, "c"),
        (3, "a"),
        (4, "d"),
    ]


def test_a_method_is_ranked_only_where_all_its_seeds_reached() -> None:
    data = results(
        {"half": [[(10, 0.5, 0.9)], [(10, 0.8, 0.9)]], "whole": [[(10, 0.5, 0.2)], [(10, 0.5, 0.4)]]}
    )
    found = matched(data)
    assert [(row.method, row.rank, row.reached, row.seeds) for row in found.rows] == [
        ("whole", 1, 2, 2),
        ("half", None, 1, 2),
    ]
    assert found.rows[0].values["model_utility"].mean == pytest.approx(0.3)
    assert "1 of 2" in [cell.wide for cell in matched_table(data).rows[-1]]


def test_a_seed_without_utility_at_the_level_is_not_ranked() -> None:
    found = matched(results({"ga": [[(10, 0.5, None)]]}))
    assert (found.rows[0].rank, found.rows[0].reached) == (None, 1)


def test_losses_rank_downwards() -> None:
    data = results({"worse": [[(10, 0.5, 0.9)]], "better": [[(10, 0.5, 0.2)]]})
    for row in data["rows"]:
        for point in row.get("path", []):
            point["retain_loss"] = point["model_utility"]
    assert [(row.rank, row.method) for row in matched(data, by="retain_loss").rows] == [
        (1, "better"),
        (2, "worse"),
    ]


def test_level_and_key_can_be_chosen() -> None:
    data = made_up_results()
    found = matched(data, level=0.2, key="forget_fact", by="retain_fact")
    assert all(row.values["forget_fact"].mean == pytest.approx(0.2) for row in found.rows if row.reached)
    title = matched_table(data, found).title
    assert "forget fact accuracy ≤ 0.200" in title and "ranked by retain fact accuracy" in title


def test_the_default_level_is_a_tolerance_above_the_mean_over_the_reference_s_seeds() -> None:
    data = results({"ga": [[(10, 0.0, 0.0)]]}, reference=0.4)
    data["rows"].append({"role": "retrained", "seed": 1, "summary": {"forget_rouge": 0.2}})
    assert matched(data).level == pytest.approx(0.35)
    assert matched(data, tolerance=0.0).level == pytest.approx(0.25)


@pytest.mark.parametrize("reference", [None, math.nan])
def test_without_a_reference_value_a_level_is_asked_for(reference: float | None) -> None:
    data = results({"ga": [[(10, 0.0, 0.0)]]}, reference=reference)
    with pytest.raises(
        ConfigurationError, match=r"`level` must be a finite number\. Found nan.*Name a level"
    ):
        matched(data)
    assert matched(data, level=0.5).rows[0].rank == 1
    with pytest.raises(ConfigurationError, match="Found inf"):
        matched(data, level=math.inf)


def test_the_reference_s_own_values_stand_above() -> None:
    grid = matched_table(made_up_results(seeds=2))
    assert [cell.wide for cell in grid.rows[0][:5]] == [
        "retrained",
        MISSING,
        MISSING,
        MISSING,
        "0.970 ± 0.000",
    ]


@pytest.mark.parametrize(
    ("seeds", "words"), [(1, "1 seed gives an order"), (4, "4 seeds give an order"), (5, "")]
)
def test_few_seeds_are_said_to_be_an_order_only(seeds: int, words: str) -> None:
    note = matched_table(made_up_results(methods=2, seeds=seeds)).caption[0]
    assert words in note
    assert ("an order, not a ranking" in note) == bool(words)


def test_paths_on_fewer_rows_are_said_to_be() -> None:
    data = made_up_results(methods=1)
    data["protocol"]["path_rows"] = 25
    assert "first 25 rows" in matched_table(data).caption[0]


def test_no_methods_make_an_empty_table() -> None:
    assert len(matched_table(results({})).rows) == 1


def test_a_target_below_the_level_is_pointed_out() -> None:
    data = results({"ga": [[(10, 0.1, 0.1)]]})
    assert "nothing had to be forgotten" not in matched_table(data).caption[0]
    assert "nothing had to be forgotten" in matched_table(data, matched(data, level=1.0)).caption[0]
