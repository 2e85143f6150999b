"""LossNorm against item 4 of section 2.2 and section 4.2 of paper 001."""

from __future__ import annotations

import pytest
import torch

from unlearnkit.host import PlainHost
from unlearnkit.objectives import NLL, AscentNLL
from unlearnkit.strategies import LossNorm
from unlearnkit.testing.toys import ToyClassifier, toy_pair


def test_a_round_descends_on_the_normalized_losses():
    """L_R/|L_R| - L_F/|L_F| with the denominators held constant, five rounds of SGD."""
    model, naive = ToyClassifier(dtype=torch.float64), ToyClassifier(dtype=torch.float64)
    host = PlainHost(
        model, forget=AscentNLL(), retain=NLL(), optimizer=torch.optim.SGD(model.parameters(), lr=0.3)
    )
    optimizer = torch.optim.SGD(naive.parameters(), lr=0.3)
    for seed in range(5):
        batch = toy_pair(seed=seed, dtype=torch.float64)
        LossNorm().step(host, batch)
        loss_r, loss_f = (naive.losses(batch[side]).mean() for side in ("retain", "forget"))
        optimizer.zero_grad()
        (loss_r / loss_r.item() - loss_f / loss_f.item()).backward()
        optimizer.step()
    for found, expected in zip(model.parameters(), naive.parameters(), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-13, atol=1e-14)


def test_ratio_of_the_weights_is_the_papers():
    """c/(1-c) = L_F/L_R, in absolute values because the forget side is a minimised -L_F here."""
    weights = LossNorm().weights({"retain": torch.tensor(0.8), "forget": torch.tensor(-2.4)})
    assert (weights.retain / weights.forget).item() == pytest.approx(2.4 / 0.8)


def test_a_loss_of_zero_gets_weight_zero():
    weights = LossNorm().weights({"retain": torch.tensor(0.0), "forget": torch.tensor(-0.5)})
    assert (weights.retain.item(), weights.forget.item()) == (0.0, 2.0)


def test_the_denominators_carry_no_gradient():
    loss = torch.tensor(2.0, requires_grad=True)
    weights = LossNorm().weights({"retain": loss.detach(), "forget": torch.tensor(-1.0)})
    assert not weights.retain.requires_grad
