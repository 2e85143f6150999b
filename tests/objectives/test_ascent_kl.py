"""AscentKL: SCRUB's forget side."""

from __future__ import annotations

import torch
from torch.nn.functional import kl_div

from unlearnkit.objectives import AscentKL, KLToReference
from unlearnkit.testing.toys import ToyClassifier, toy_batch


def test_it_is_minus_the_divergence_at_a_temperature():
    """SCRUB's own: ``kl_div(log softmax(student/T), softmax(teacher/T)) * T^2``."""
    model, teacher, batch = ToyClassifier(seed=1), ToyClassifier(seed=2), toy_batch(7)
    for temperature in (1.0, 2.0, 4.0):
        value = AscentKL(temperature)(model, batch, lambda: teacher)
        student = (model(batch) / temperature).log_softmax(-1)
        naive = kl_div(student, (teacher(batch) / temperature).softmax(-1), reduction="none").sum(-1)
        torch.testing.assert_close(value.sums, -(temperature**2) * naive, rtol=1e-5, atol=1e-6)
        assert torch.equal(value.sums, -KLToReference(temperature)(model, batch, lambda: teacher).sums)
    assert (AscentKL.role, KLToReference.role) == ("forget", "retain")


def first_step(optimizer):
    """Return the largest change of a weight by a first step at the target, at a rate of 1e-3, and the gradient."""
    model, batch = ToyClassifier(seed=1), toy_batch(7)
    before = model.layer.weight.detach().clone()
    AscentKL()(model, batch, lambda: ToyClassifier(seed=1)).sums.sum().backward()
    optimizer(model.parameters()).step()
    return (model.layer.weight - before).abs().max().item(), model.layer.weight.grad.abs().max().item()


def test_at_the_target_the_gradient_is_rounding_noise_and_sgd_hardly_moves():
    moved, gradient = first_step(lambda weights: torch.optim.SGD(weights, lr=1e-3))
    assert gradient < 1e-6 and moved < 1e-9


def test_adam_makes_a_step_of_that_noise():
    moved, gradient = first_step(lambda weights: torch.optim.Adam(weights, lr=1e-3))
    assert 0 < gradient < 1e-6 and 1e-4 < moved <= 1e-3
