"""The study of exact effects: what it solves is solved, and what is committed is what it prints."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from experiments import u2a_effects as study

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def world() -> study.World:
    return study.World(rate=1 / 3, seed=0)


def test_at_large_lambda_equation_7_is_the_effect(world: study.World) -> None:
    """The factor 1 / (2 lambda) that the paper drops is in it: the ratio is one, not lambda."""
    for place in range(0, len(world.low), 12):
        weights = torch.zeros(len(world.low), dtype=torch.float64)
        weights[place] = 1.0
        change, solved = world.effect(weights, 1e5)
        assert solved
        assert change == pytest.approx(float(world.gains[place]) / 2e5, rel=0.02)


def test_nothing_unlearned_changes_nothing_and_what_is_not_solved_is_said(world: study.World) -> None:
    nothing = torch.zeros(len(world.low), dtype=torch.float64)
    assert world.effect(nothing, 300.0) == (0.0, True)
    weights = torch.full((len(world.low),), 1.0, dtype=torch.float64)
    assert world.effect(weights, 300.0, steps=2)[1] is False


def test_groups_are_counted_by_what_they_did() -> None:
    low, change = [0.1, 0.2, 0.8, 0.9], [-1.0, 1.0, 2.0, 3.0]
    done = [
        {"change": c, "predicted": c, "low": share, "reward": -share, "solved": 1.0}
        for share, c in zip(low, change, strict=True)
    ]
    found = study.summarise(done)
    assert (found["helpful"], found["helpful_above"], found["helpful_below"]) == (0.75, 1.0, 0.5)
    assert found["spearman_low"] == found["spearman_eq7"] == found["solved"] == 1.0


def test_a_small_run_writes_results_table_and_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study, "LAMBDAS", (1000.0,))
    monkeypatch.setattr(
        "sys.argv",
        [
            "u2a_effects",
            "--seeds",
            "0",
            "--groups",
            "3",
            "--each",
            "3",
            "--size",
            "8",
            "--out",
            str(tmp_path),
        ],
    )
    study.main()
    results = json.loads((tmp_path / "results.json").read_text())
    assert (tmp_path / "summary.md").read_text() == study.table(results)
    assert (tmp_path / "effects.png").read_bytes()[1:4] == b"PNG"
    assert len(results["runs"]["no wrong label"][0]["groups"]) == 3


def test_the_committed_table_is_of_the_committed_results() -> None:
    folder = ROOT / "experiments" / "u2a_effects"
    results = json.loads((folder / "results.json").read_text("utf-8"))
    assert (folder / "summary.md").read_text("utf-8") == study.table(results)
