"""Replay: samples of the target, drawn once; the published sum, and what a run makes again."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from tests.objectives.tiny_diffusion import CLASSES, SHAPE, TinyDiffusion, diffusion_batch
from unlearnkit.errors import ConfigurationError
from unlearnkit.keyed_draws import derived, integers, normal, row_keys
from unlearnkit.objectives import Replay
from unlearnkit.objectives.denoising import FISHER, REPLAYED
from unlearnkit.testing import ToyClassifier

KEPT = [0, 1, 3]
SETTINGS = {"per_class": 5, "fisher_samples": 2, "fisher_steps": 4, "steps": 3}


def target(seed=7):
    return TinyDiffusion(seed).requires_grad_(False).eval()


def bound(**changes):
    """Return the objective in a run that keeps three classes."""
    objective = Replay(**(SETTINGS | changes))
    objective.bind(SimpleNamespace(retained_classes=KEPT))
    return objective


def test_the_loss_is_that_of_the_targets_samples_under_their_classes():
    model, frozen, batch = TinyDiffusion(), target(), diffusion_batch(6)
    value = bound(gamma=0.5, seed=3)(model, batch, lambda: frozen)
    labels = torch.tensor([0] * 5 + [1] * 5 + [3] * 5)
    samples = frozen.sample(labels, seed=3, steps=3, guidance=2.0)
    for row in range(6):
        drawn = int(integers(batch["keys"][row : row + 1], REPLAYED, 15))
        one = {
            "inputs": samples[drawn : drawn + 1],
            "targets": labels[drawn : drawn + 1],
            "conditions": labels[drawn : drawn + 1],
            "keys": batch["keys"][row : row + 1],
        }
        torch.testing.assert_close(value.sums[row], 0.5 * model.losses(one)[0])
    assert value.counts.tolist() == [4] * 6


def test_no_class_is_dropped_and_no_image_is_looked_at():
    batch, frozen = diffusion_batch(20), target()
    dropping, keeping = TinyDiffusion(dropout=1.0), TinyDiffusion(dropout=0.0)
    value = bound()(dropping, batch, lambda: frozen).sums
    other = batch | {
        "inputs": torch.zeros_like(batch["inputs"]),
        "targets": torch.zeros_like(batch["targets"]),
    }
    assert torch.equal(bound()(keeping, other, lambda: frozen).sums, value)


def test_all_samples_have_their_turn():
    rows = integers(row_keys(0, 0, torch.arange(10_000)), REPLAYED, 15)
    counts = torch.bincount(rows, minlength=15).double()
    assert ((counts - 10_000 / 15) ** 2 / (10_000 / 15)).sum() < 36.1, "14 degrees of freedom, 0.1 %"


def test_the_penalty_is_the_published_sum_over_the_values_of_a_sample():
    """SA: distance * sum_i F_i (theta_i - theta*_i)^2, F of gradients summed over time steps and values."""
    frozen, model = target(), TinyDiffusion(seed=1)
    found = bound(distance=0.3, seed=3).penalty(model, lambda: frozen)
    labels = torch.tensor([0] * 5 + [1] * 5 + [3] * 5)
    samples = frozen.sample(labels, seed=3, steps=3, guidance=2.0)
    free, fisher = TinyDiffusion(seed=7), 0.0
    every = [2, 7, 12, 17]  # four of twenty steps, each in the middle of its quarter
    for row in (0, 1, 5, 6, 10, 11):
        free.zero_grad()
        for place, step in enumerate(every):
            key = derived(row_keys(3, -2, torch.tensor([row * 4 + place])), FISHER)
            kept = (step + 1) / 21
            noise = normal(key, 1, SHAPE).double()
            noised = (1 - kept) ** 0.5 * (samples[row].double() / 127.5 - 1) + kept**0.5 * noise
            guess = free.predict(noised, torch.tensor([step]), labels[row : row + 1])
            ((guess - noise) ** 2).sum().backward()
        of_all_steps = {name: p.grad * (20 / 4) for name, p in free.named_parameters()}
        fisher += sum(
            (of_all_steps[name] ** 2 / 6 * (p - dict(frozen.named_parameters())[name]) ** 2).sum()
            for name, p in model.named_parameters()
        )
    assert found.item() == pytest.approx(0.3 * fisher.item() / 4, rel=1e-10)


def test_the_penalty_pulls_back_and_vanishes_at_the_target():
    frozen, objective = target(), bound()
    assert objective.penalty(TinyDiffusion(seed=7), lambda: frozen).item() == 0.0
    model = TinyDiffusion(seed=1)
    objective.penalty(model, lambda: frozen).backward()
    away = model.layer.weight.detach() - frozen.layer.weight
    assert (model.layer.weight.grad * away >= 0).all()
    assert bound(distance=0.0).penalty(model, lambda: frozen) is None


def test_samples_and_information_are_made_once_and_again_in_another_run():
    calls = []

    class Counting(TinyDiffusion):
        def sample(self, *args, **settings):
            calls.append(settings)
            return super().sample(*args, **settings)

    frozen = Counting(seed=7).requires_grad_(False).eval()
    batch, objective, model = diffusion_batch(6), bound(), TinyDiffusion()
    state = torch.get_rng_state()
    first = objective(model, batch, lambda: frozen).sums, objective.penalty(model, lambda: frozen)
    again = objective(model, batch, lambda: frozen).sums
    assert len(calls) == 1 and calls[0]["eta"] == 1.0 and calls[0]["batch_size"] == 128
    assert torch.equal(torch.get_rng_state(), state), "a resumed run makes them in another round"
    assert not any(p.requires_grad or p.grad is not None for p in frozen.parameters())
    objective.bind(SimpleNamespace(retained_classes=KEPT))
    resumed = objective(model, batch, lambda: frozen).sums
    assert len(calls) == 2
    assert torch.equal(first[0], again) and torch.equal(again, resumed)
    assert torch.equal(objective.penalty(model, lambda: frozen), first[1])


def test_classes_of_ones_own_come_first():
    objective = bound(classes=[3, 2])
    assert objective.labels().tolist() == [2] * 5 + [3] * 5
    assert bound(fisher_samples=None).fisher_samples == 5


def test_unknown_classes_are_refused():
    with pytest.raises(ConfigurationError, match="`classes` must say which classes Replay keeps"):
        Replay()(TinyDiffusion(), diffusion_batch(2), target)


def test_a_target_that_cannot_sample_is_refused():
    with pytest.raises(
        ConfigurationError, match="`model` must be a class-conditional diffusion model for Replay"
    ):
        bound()(TinyDiffusion(), diffusion_batch(2), ToyClassifier)
    with pytest.raises(ConfigurationError, match="`reference` must be given because Replay"):
        bound()(TinyDiffusion(), diffusion_batch(2))


def test_samples_of_another_size_are_refused():
    batch = diffusion_batch(2) | {"inputs": torch.zeros(2, 4, 1, 1)}
    with pytest.raises(ConfigurationError, match=r"Found samples of \(1, 2, 2\) and inputs of \(4, 1, 1\)"):
        bound()(TinyDiffusion(), batch, target)


@pytest.mark.parametrize("name", ["per_class", "fisher_steps", "steps", "batch_size", "fisher_samples"])
def test_numbers_below_one_are_refused(name):
    with pytest.raises(ConfigurationError, match=rf"`{name}` must be at least 1\. Found 0"):
        Replay(**{name: 0})


def test_negative_weights_are_refused():
    for name in ("gamma", "distance"):
        with pytest.raises(ConfigurationError, match=f"`{name}` must be 0 or above"):
            Replay(**{name: -1.0})


def test_the_samples_of_a_class_are_as_many_as_asked_for():
    assert torch.bincount(bound().labels(), minlength=CLASSES).tolist() == [5, 5, 0, 5]
