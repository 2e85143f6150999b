"""All ways of the benchmark do the same work, and the README holds what was measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchmarks import evaluation

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def work():
    evaluation.SIZES["smallest"] = {"hidden_size": 32, "layers": 1, "heads": 2}
    return evaluation.Work(*evaluation.prepared("smallest", steps=12), rows=3)


def test_every_way_scores_and_generates_the_same(work):
    parts = work.parts()
    losses = [way() for way in parts["scored"].values()]
    for other in losses[1:]:
        torch.testing.assert_close(torch.tensor(other), torch.tensor(losses[0]), rtol=1e-4, atol=1e-4)
    assert len(losses[0]) == len(work.pairs) > 6 * len(work.questions) - 12
    mine, *others = (way() for way in parts["generated"].values())
    assert all(other == mine for other in others)
    assert evaluation.agree({name: way() for name, way in parts["whole"].items()}) == 0


def test_a_difference_stops_the_benchmark(work):
    whole = {name: way() for name, way in work.parts()["whole"].items()}
    whole["padded"] = {**whole["padded"], "losses": [loss + 1 for loss in whole["padded"]["losses"]]}
    with pytest.raises(AssertionError):
        evaluation.agree(whole)


def test_the_readme_holds_the_results():
    folder = ROOT / "benchmarks" / "results"
    results = [
        json.loads((folder / f"evaluation_{size}.json").read_text("utf-8")) for size in ("tiny", "small")
    ]
    assert evaluation.table(results) in (ROOT / "benchmarks" / "README.md").read_text("utf-8")
