"""First-order effects of the step that was actually made."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from unlearnkit.host import PlainHost
from unlearnkit.modules.effects import StepEffects
from unlearnkit.objectives import NLL, AscentNLL
from unlearnkit.strategies import NGDiff
from unlearnkit.testing.toys import ToyClassifier, toy_pair


class ObservingHost(PlainHost):
    def observe(self, gradients):
        self.effects = StepEffects(self.parameters, gradients)


def effects_of_a_round(optimizer, seed=0):
    model, batch = ToyClassifier(seed=seed, dtype=torch.float64), toy_pair(seed=seed, dtype=torch.float64)
    host = ObservingHost(model, forget=AscentNLL(), retain=NLL(), optimizer=optimizer(model.parameters()))
    report = NGDiff().step(host, batch)
    after = {side: host.loss(side, batch).item() for side in ("retain", "forget")}
    return report, host.effects.measure(), after


def test_with_sgd_they_are_lemma_4_times_the_rate():
    report, effects, _ = effects_of_a_round(lambda p: torch.optim.SGD(p, lr=0.1))
    retain, forget = report.gram.retain_effect(report.weights), report.gram.forget_effect(report.weights)
    assert effects["retain"].item() == pytest.approx(0.1 * retain.item(), rel=1e-12)
    assert effects["forget"].item() == pytest.approx(0.1 * forget.item(), rel=1e-12)


def test_a_small_step_of_any_optimizer_lowers_the_losses_by_just_that():
    for seed in range(5):
        report, effects, after = effects_of_a_round(lambda p: torch.optim.AdamW(p, lr=1e-6), seed)
        for side in ("retain", "forget"):
            fall = report.losses[side].item() - after[side]
            assert effects[side].item() == pytest.approx(fall, rel=1e-3, abs=1e-11)


def test_gradients_are_copied_since_they_are_combined_in_place():
    gradient = torch.tensor([1.0, 0.0])
    weight = nn.Parameter(torch.zeros(2))
    effects = StepEffects([weight], {"retain": [gradient]})
    gradient.fill_(99.0)
    with torch.no_grad():
        weight.sub_(torch.tensor([2.0, 5.0]))
    found = effects.measure()["retain"]
    assert found.item() == 2.0
    assert found.dtype == torch.float64
    assert not found.requires_grad
