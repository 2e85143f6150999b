"""ForgetOnly: gradient ascent, or NPO alone."""

from __future__ import annotations

import pytest
import torch

from unlearnkit.host import PlainHost
from unlearnkit.objectives import NPO, AscentNLL
from unlearnkit.strategies import ForgetOnly
from unlearnkit.testing.toys import ToyClassifier, toy_pair


def test_rounds_are_gradient_ascent_and_need_no_retain_objective():
    model, naive = ToyClassifier(dtype=torch.float64), ToyClassifier(dtype=torch.float64)
    host = PlainHost(
        model, forget=AscentNLL(), retain=None, optimizer=torch.optim.SGD(model.parameters(), lr=0.3)
    )
    optimizer = torch.optim.SGD(naive.parameters(), lr=0.3, maximize=True)
    for seed in range(5):
        batch = toy_pair(seed=seed, dtype=torch.float64)
        report = ForgetOnly().step(host, batch)
        optimizer.zero_grad()
        loss = naive.losses(batch["forget"]).mean()
        loss.backward()
        optimizer.step()
        assert set(report.losses) == {"forget"}
        assert report.losses["forget"].item() == pytest.approx(-loss.item(), rel=1e-13)
    for found, expected in zip(model.parameters(), naive.parameters(), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-13, atol=1e-14)


def test_plain_npo_starts_along_ascent():
    """At the target the gradient of NPO is that of ascent, so the first step is the same."""
    after = []
    for objective in (NPO(beta=0.1), AscentNLL()):
        model = ToyClassifier(dtype=torch.float64)
        target = ToyClassifier(dtype=torch.float64)
        host = PlainHost(
            model,
            forget=objective,
            retain=None,
            optimizer=torch.optim.SGD(model.parameters(), lr=0.3),
            reference=lambda target=target: target,
        )
        ForgetOnly().step(host, toy_pair(dtype=torch.float64))
        after.append(model.layer.weight.detach())
    torch.testing.assert_close(after[0], after[1], rtol=1e-12, atol=1e-13)


def test_it_says_that_it_uses_the_forget_side_alone():
    assert ForgetOnly.sides == ("forget",)
    assert not ForgetOnly.normalized
