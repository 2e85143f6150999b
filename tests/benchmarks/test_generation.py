"""The benchmark of generation does the same work both ways."""

from __future__ import annotations

import pytest
import torch

from benchmarks import generation
from unlearnkit.optim import DualOptim


@pytest.fixture(scope="module")
def bench() -> generation.Bench:
    return generation.Bench("tiny", torch.device("cpu"), height=4, size=6)


def test_both_loops_sample_the_same_images(bench: generation.Bench) -> None:
    for steps in (4, 20):
        apart = generation.ours(bench, steps).int() - generation.by_hand(bench, steps).int()
        assert apart.abs().max() <= 1, "rounding"
    assert bench.model.network.training


def test_the_plain_loss_is_the_models(bench: generation.Bench) -> None:
    batch = bench.pair["retain"]
    expected = bench.model.losses(batch).sum() / bench.model.counts(batch).sum()
    torch.testing.assert_close(bench.loss("retain"), expected)


def test_every_method_makes_a_round_and_as_many_plain_steps(bench: generation.Bench) -> None:
    for name, method in generation.METHODS.items():
        before = [p.detach().clone() for p in bench.model.parameters()]
        for work in (generation.round_of(bench, method), generation.plain_of(bench, method)):
            work()
        moved = [bool((p != old).any()) for p, old in zip(bench.model.parameters(), before, strict=True)]
        assert any(moved), name
        assert all(p.grad is None for p in bench.model.parameters()), name
    assert isinstance(generation.dual(bench.model.parameters()), DualOptim)


def test_the_table_has_all_rows_and_says_whether_the_goal_is_met() -> None:
    found = generation.measure("tiny", torch.device("cpu"), turns=2, size=6, steps=2, height=4)
    rows = generation.table({"networks": [found]}).splitlines()
    assert len(rows) == 2 + 1 + len(generation.METHODS)
    assert all("goal 1.05: " in row for row in rows[2:])
    assert generation.verdict(1.05) == "goal 1.05: met"
