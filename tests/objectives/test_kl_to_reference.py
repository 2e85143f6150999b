"""KLToReference against the golden vector, naive sums and torch's own divergence."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import Categorical, kl_divergence

from tests.objectives import golden
from unlearnkit.errors import ConfigurationError
from unlearnkit.objectives import KLToReference
from unlearnkit.testing.toys import ToyClassifier, toy_batch


def test_mean_over_scored_positions_is_the_golden_value():
    value = KLToReference()(golden.current(), golden.batch(), golden.reference)
    assert value.counts.tolist() == golden.COUNTS
    loss = (value.sums.sum() / value.counts.sum()).item()
    assert loss == pytest.approx(golden.KL_MASKED_AND_SHIFTED, rel=2e-9)
    assert abs(loss - golden.KL_ALL_POSITIONS) > 0.02  # what averaging over prompt and padding gives


def test_direction_is_reference_first():
    """KL(p_ref || p), as torch.distributions computes it; the other direction is another number."""
    model, reference, batch = ToyClassifier(seed=1), ToyClassifier(seed=2), toy_batch(7)
    value = KLToReference()(model, batch, lambda: reference).sums
    p, p_ref = Categorical(logits=model(batch)), Categorical(logits=reference(batch))
    torch.testing.assert_close(value, kl_divergence(p_ref, p), rtol=1e-5, atol=1e-6)
    assert not torch.allclose(value, kl_divergence(p, p_ref), rtol=1e-2)


def test_at_the_target_it_is_zero_with_zero_gradient():
    model = golden.current()
    value = KLToReference()(model, golden.batch(), golden.current)
    value.sums.sum().backward()
    assert value.sums.abs().max() < 1e-6
    assert model.values.grad.abs().max() < 1e-6


def test_no_gradient_reaches_the_reference():
    model, reference = golden.current(), golden.reference()
    KLToReference()(model, golden.batch(), lambda: reference).sums.sum().backward()
    assert reference.values.grad is None
    assert model.values.grad.abs().max() > 0


def test_an_all_masked_sequence_adds_nothing():
    batch = golden.batch()
    labels = golden.LABELS.clone()
    labels[1] = -100
    value = KLToReference()(golden.current(), batch | {"labels": labels}, golden.reference)
    assert value.counts.tolist() == [3, 0]
    assert value.sums[1].item() == 0.0


def test_without_a_reference_it_says_how_to_give_one():
    with pytest.raises(ConfigurationError) as error:
        KLToReference()(golden.current(), golden.batch())
    assert str(error.value).startswith("`reference` must be given because KLToReference compares")


def test_role():
    assert (KLToReference.role, KLToReference.needs_reference) == ("retain", True)


def test_the_policy_answers_before_the_reference():
    """Under FSDP2 with LoRA both are one sharded model, whose first forward must be the policy's."""
    calls = []

    class Named(ToyClassifier):
        def __init__(self, name):
            super().__init__()
            self.name = name

        def units(self, batch):
            calls.append(self.name)
            return super().units(batch)

    KLToReference()(Named("policy"), toy_batch(3), lambda: Named("reference"))
    assert calls == ["policy", "reference"]


def test_parity_averages_over_every_position():
    value = KLToReference(parity="open-unlearning")(golden.current(), golden.batch(), golden.reference)
    assert value.counts.tolist() == [5, 5]
    assert golden.loss(value) == pytest.approx(golden.KL_ALL_POSITIONS, rel=2e-9)
    with pytest.raises(ConfigurationError, match="`parity` of KLToReference must be 'paper'"):
        KLToReference(parity="open-unlearning")(ToyClassifier(), toy_batch(2), ToyClassifier)
