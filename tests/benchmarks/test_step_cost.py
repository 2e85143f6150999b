"""The benchmark of step costs compares rounds that do the same work, and does its arithmetic right."""

from __future__ import annotations

import pytest
import torch

from benchmarks import step_cost


def moved(name: str) -> torch.Tensor:
    """Return by how much one round of a variant, stepping with SGD, moves a tiny model."""
    bench = step_cost.Bench(small=True)
    bench.optimizer = torch.optim.SGD(bench.model.parameters(), lr=1e-2)
    before = torch.cat([p.detach().flatten().clone() for p in bench.model.parameters()])
    step_cost.VARIANTS[name](bench)()
    return torch.cat([p.detach().flatten() for p in bench.model.parameters()]) - before


def test_ngdiff_and_torchjd_go_the_same_way():
    ours, theirs = moved("ngdiff"), moved("torchjd_imtl_g")
    assert torch.cosine_similarity(ours.double(), theirs.double(), dim=0).item() == pytest.approx(
        1.0, abs=1e-4
    )
    assert min(ours.norm(), theirs.norm()) > 0


@pytest.mark.parametrize("name", step_cost.VARIANTS)
def test_every_variant_moves_the_model(name):
    assert moved(name).norm() > 0


def test_the_share_of_gen_is_what_a_fit_adds_to_ten_rounds():
    rounds = [3.0] + [2.0] * 9
    assert step_cost.gen_share({"gen_paper": rounds * 3}, "gen_paper") == {
        "share": pytest.approx(0.05),
        "ms_of_a_fit": pytest.approx(1000.0),
    }


def test_ratios_are_taken_round_by_round():
    """A machine that becomes twice as slow halfway leaves the ratio as it is."""
    base = [1.0] * 10 + [2.0] * 10
    found = {"two_passes": base, "ngdiff": [1.1 * t for t in base], "forward": [0.5 * t for t in base]}
    assert step_cost.ratio(found, "ngdiff")["median"] == pytest.approx(1.1)
    assert step_cost.ratio(found, "ngdiff", "forward")["median"] == pytest.approx(2.2)


def test_the_model_has_the_size_that_is_reported():
    assert sum(p.numel() for p in step_cost.build(small=False)[0].parameters()) == 13_674_560


def test_a_goal_is_held_against_the_digits_that_are_printed():
    assert step_cost.verdict(3.28, 3.0) == "at most 3.00: missed"
    assert step_cost.verdict(2.21, 3.0) == "at most 3.00: met"
    assert step_cost.verdict(1.034, 1.03) == "at most 1.03: met"
    assert step_cost.verdict(9.0, None) == ""
