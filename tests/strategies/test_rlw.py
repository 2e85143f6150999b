"""RLW: item 5 of section 2.2 of paper 001, and whose draws they are."""

from __future__ import annotations

import pytest
import torch

from unlearnkit.host import PlainHost
from unlearnkit.objectives import NLL, AscentNLL
from unlearnkit.strategies import RLW
from unlearnkit.strategies.base import seed_of
from unlearnkit.testing.toys import ToyClassifier, toy_pair

LOSSES = {"retain": torch.tensor(2.0).double(), "forget": torch.tensor(-1.0).double()}


def draw(seed, round_):
    strategy = RLW(seed)
    strategy.round = round_
    weights = strategy.weights(LOSSES)
    return weights.retain.item(), weights.forget.item()


def test_weights_are_the_papers():
    """c = e^l1 / (e^l1 + e^l2) with normal l1 and l2."""
    first, second = torch.randn(
        2, generator=torch.Generator().manual_seed(seed_of(7, 3)), dtype=torch.float64
    ).exp()
    assert draw(7, 3) == pytest.approx(
        ((first / (first + second)).item(), (second / (first + second)).item())
    )


def test_log_odds_are_normal_with_variance_2():
    odds = torch.tensor([draw(0, round_) for round_ in range(2000)]).double().log()
    odds = odds[:, 0] - odds[:, 1]
    assert abs(odds.mean()) < 4 * (2 / 2000) ** 0.5
    assert odds.var().item() == pytest.approx(2, rel=4 * (2 / 2000) ** 0.5)


def test_a_draw_is_that_of_seed_and_round():
    assert draw(0, 5) == draw(0, 5)
    assert len({draw(seed, round_) for seed in range(3) for round_ in range(3)}) == 9


def test_rounds_are_drawn_by_the_hosts_number_and_nothing_else():
    """So a resumed run draws what a whole one does; the global generator is neither read nor moved."""

    def run(rounds, start=0):
        model = ToyClassifier(dtype=torch.float64)
        host = PlainHost(
            model, forget=AscentNLL(), retain=NLL(), optimizer=torch.optim.SGD(model.parameters(), lr=0.1)
        )
        host.round = start
        return [RLW(1).step(host, toy_pair(dtype=torch.float64)).weights.retain.item() for _ in range(rounds)]

    torch.manual_seed(0)
    whole = run(6)
    torch.manual_seed(1)
    assert run(3) + run(3, start=3) == whole
    assert len(set(whole)) == 6
    before = torch.get_rng_state()
    draw(0, 0)
    assert torch.equal(before, torch.get_rng_state())
