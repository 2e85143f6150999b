"""FixedWeights against eqs. 1 and 2 of paper 001."""

from __future__ import annotations

import pytest
import torch

from unlearnkit.errors import ConfigurationError
from unlearnkit.host import PlainHost
from unlearnkit.objectives import NLL, AscentNLL
from unlearnkit.strategies import FixedWeights
from unlearnkit.testing.toys import ToyClassifier, toy_pair


@pytest.mark.parametrize("c", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_a_round_descends_on_the_linear_scalarization(c):
    """LSP(theta; c) = c L_R - (1 - c) L_F, minimised by SGD for five rounds."""
    model, naive = ToyClassifier(dtype=torch.float64), ToyClassifier(dtype=torch.float64)
    host = PlainHost(
        model, forget=AscentNLL(), retain=NLL(), optimizer=torch.optim.SGD(model.parameters(), lr=0.3)
    )
    optimizer = torch.optim.SGD(naive.parameters(), lr=0.3)
    for seed in range(5):
        batch = toy_pair(seed=seed, dtype=torch.float64)
        report = FixedWeights(c).step(host, batch)
        loss_r, loss_f = (naive.losses(batch[side]).mean() for side in ("retain", "forget"))
        assert report.losses["retain"].item() == pytest.approx(loss_r.item(), rel=1e-13)
        assert report.losses["forget"].item() == pytest.approx(-loss_f.item(), rel=1e-13)
        optimizer.zero_grad()
        (c * loss_r - (1 - c) * loss_f).backward()
        optimizer.step()
    for found, expected in zip(model.parameters(), naive.parameters(), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("c", [-0.1, 1.1, float("nan"), float("inf")])
def test_c_must_lie_between_0_and_1(c):
    with pytest.raises(
        ConfigurationError, match=r"`c` must lie in \[0, 1\].* Found .* Use 0\.5 for vanilla GDiff"
    ):
        FixedWeights(c)


def test_weights_are_on_the_device_and_in_the_type_of_the_losses():
    weights = FixedWeights(0.25).weights({"retain": torch.zeros((), dtype=torch.float64)})
    assert weights.retain.dtype == torch.float64
    assert (weights.retain.item(), weights.forget.item()) == (0.25, 0.75)
