"""RetainOnly: plain gradient descent on the retain loss."""

from __future__ import annotations

import pytest
import torch

from unlearnkit.host import PlainHost
from unlearnkit.objectives import NLL
from unlearnkit.strategies import RetainOnly
from unlearnkit.testing.toys import ToyClassifier, toy_pair


def test_rounds_are_gradient_descent_and_need_no_forget_objective():
    model, naive = ToyClassifier(dtype=torch.float64), ToyClassifier(dtype=torch.float64)
    host = PlainHost(model, forget=None, retain=NLL(), optimizer=torch.optim.SGD(model.parameters(), lr=0.3))
    optimizer = torch.optim.SGD(naive.parameters(), lr=0.3)
    for seed in range(5):
        batch = toy_pair(seed=seed, dtype=torch.float64)
        report = RetainOnly().step(host, batch)
        optimizer.zero_grad()
        loss = naive.losses(batch["retain"]).mean()
        loss.backward()
        optimizer.step()
        assert set(report.losses) == {"retain"}
        assert report.losses["retain"].item() == pytest.approx(loss.item(), rel=1e-13)
        assert (report.weights.retain.item(), report.weights.forget.item()) == (1.0, 0.0)
    for found, expected in zip(model.parameters(), naive.parameters(), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-13, atol=1e-14)


def test_it_says_that_it_uses_the_retain_side_alone():
    assert RetainOnly.sides == ("retain",)
    assert not RetainOnly.normalized
