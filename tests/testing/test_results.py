"""The made-up results have the form that compare writes."""

from __future__ import annotations

import json

from unlearnkit.testing.results import made_up_results


def test_every_seed_has_target_reference_and_methods() -> None:
    rows = made_up_results(methods=3, seeds=2)["rows"]
    assert [(row["seed"], row["role"]) for row in rows] == [
        (seed, role) for seed in (0, 1) for role in ("target", "retrained", "method", "method", "method")
    ]


def test_they_are_json_and_the_same_each_time() -> None:
    assert json.dumps(made_up_results(seeds=2), allow_nan=False) == json.dumps(made_up_results(seeds=2))


def test_a_path_ends_at_the_summary() -> None:
    for row in made_up_results()["rows"]:
        if row["role"] == "method":
            assert row["path"][-1]["round"] == row["rounds"]
            assert row["path"][-1]["model_utility"] == row["summary"]["model_utility"]
