"""The benchmark of strategies has a row for each of them, and compares rounds that do the same work."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import pytest
import torch

import unlearnkit.strategies
from benchmarks import strategy_cost
from benchmarks.step_cost import Bench
from unlearnkit.strategies import Strategy

ROOT = Path(__file__).resolve().parents[2]


def moved(name: str) -> torch.Tensor:
    """Return by how much one round of a variant, stepping with SGD, moves a tiny model."""
    bench = Bench(small=True)
    bench.optimizer = torch.optim.SGD(bench.model.parameters(), lr=1e-2)
    before = torch.cat([p.detach().flatten().clone() for p in bench.model.parameters()])
    strategy_cost.VARIANTS[name](bench)()
    return torch.cat([p.detach().flatten() for p in bench.model.parameters()]) - before


def test_every_strategy_has_a_row():
    """A round of U2A is its inner strategy's; what its selection costs is in benchmarks/gains.py."""
    public = {
        name
        for name, found in vars(unlearnkit.strategies).items()
        if inspect.isclass(found)
        and issubclass(found, Strategy)
        and found.kind != "reweighting"
        and name not in ("Strategy", "LossStrategy", "GramStrategy")
    }
    assert public <= set(strategy_cost.VARIANTS)


@pytest.mark.parametrize("name", [n for n in strategy_cost.TORCHJD if n not in ("GradDrop", "GradVaccine")])
def test_ours_and_torchjd_s_go_the_same_way(name):
    """GradDrop draws, and GradVaccine remembers."""
    ours, theirs = moved(name).double(), moved(f"torchjd {name}").double()
    assert torch.cosine_similarity(ours, theirs, dim=0).item() == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("name", strategy_cost.VARIANTS)
def test_every_variant_moves_the_model(name):
    assert moved(name).norm() > 0


def test_the_table_is_that_of_the_committed_run():
    results = json.loads((ROOT / "benchmarks" / "results" / "strategy_cost.json").read_text("utf-8"))
    assert strategy_cost.table(results) in (ROOT / "benchmarks" / "README.md").read_text("utf-8")
    assert set(results["rows"]) == set(strategy_cost.VARIANTS) - {"two_passes"}


def test_the_table_says_whether_goals_are_met():
    results = json.loads((ROOT / "benchmarks" / "results" / "strategy_cost.json").read_text("utf-8"))
    rows = {row.split(" | ")[0].removeprefix("| "): row for row in strategy_cost.table(results).splitlines()}
    assert "at most 1.03: met" in rows["NGDiff"] and "at most 1.03: missed" in rows["GradDrop"]
    assert "at most 1.00: met" in rows["RetainOnly"] and "at most" not in rows["Alternate"]
