"""NPO against the golden vector and its limits."""

from __future__ import annotations

import math

import pytest
import torch

from tests.objectives import golden
from unlearnkit.errors import ConfigurationError
from unlearnkit.objectives import NPO, AscentNLL
from unlearnkit.testing.toys import ToyClassifier, toy_batch


def test_mean_over_sequences_is_the_golden_value():
    value = NPO(beta=0.1)(golden.current(), golden.batch(), golden.reference)
    assert value.counts.tolist() == [1.0, 1.0]
    assert value.sums.mean().item() == pytest.approx(golden.NPO_BETA_01, rel=2e-9)


@pytest.mark.parametrize("beta", [0.05, 0.1, 1.0, 4.5])
def test_equals_the_equation_written_naively(beta):
    """Paper 001, eq. 7: -(2/beta) log sigma(-beta log(p / p_ref)) with p the probability of the sequence."""
    value = NPO(beta)(golden.current(), golden.batch(), golden.reference).sums.tolist()
    for found, nll, reference_nll in zip(value, golden.NLL_SUMS, golden.REFERENCE_NLL_SUMS, strict=True):
        ratio = math.exp(-nll) / math.exp(-reference_nll)
        expected = -(2 / beta) * math.log(1 / (1 + math.exp(beta * math.log(ratio))))
        assert found == pytest.approx(expected, rel=1e-7)


def test_at_the_target_it_is_two_log_two_over_beta():
    value = NPO(beta=0.25)(golden.current(), golden.batch(), golden.current)
    assert value.sums.tolist() == pytest.approx([8 * math.log(2)] * 2, rel=1e-14)


def test_gradient_at_the_target_is_that_of_ascent():
    """There sigma = 1/2, so the gradient of each sequence is exactly that of -NLL, whatever beta."""
    found, expected = golden.current(), golden.current()
    NPO(beta=0.3)(found, golden.batch(), golden.current).sums.sum().backward()
    AscentNLL()(expected, golden.batch()).sums.sum().backward()
    torch.testing.assert_close(found.values.grad, expected.values.grad, rtol=1e-5, atol=1e-8)


def test_gradient_fades_once_the_sequence_is_forgotten():
    """Bounded, unlike ascent: far above the reference's NLL the weight sigma(-beta dS) goes to zero."""
    model = golden.current()
    forgotten = golden.GivenLogits(golden.reference().values.detach() + 0.0)
    with torch.no_grad():
        rows = torch.arange(2)[:, None].expand(2, 4)
        targets = golden.LABELS[:, 1:].clamp_min(0)
        model.values[rows, torch.arange(4), targets] -= 400.0
    value = NPO(beta=0.1)(model, golden.batch(), lambda: forgotten).sums
    value.sum().backward()
    assert 0 <= value.max().item() < 1e-10
    assert model.values.grad.abs().max().item() < 1e-10


def test_extreme_likelihoods_stay_finite():
    model, batch = ToyClassifier(seed=0), toy_batch(4)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1e4)
    value = NPO(beta=1.0)(model, batch, lambda: ToyClassifier(seed=1)).sums
    value.sum().backward()
    assert torch.isfinite(value).all()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


def test_no_gradient_reaches_the_reference():
    reference = golden.reference()
    NPO()(golden.current(), golden.batch(), lambda: reference).sums.sum().backward()
    assert reference.values.grad is None


@pytest.mark.parametrize("beta", [0.0, -0.1, math.nan])
def test_beta_must_be_positive(beta):
    with pytest.raises(ConfigurationError, match=r"`beta` must be above 0\. Found .* Use e\.g\. beta=0\.1\."):
        NPO(beta=beta)


def test_without_a_reference_it_says_how_to_give_one():
    with pytest.raises(ConfigurationError, match="NPO compares with the target"):
        NPO()(golden.current(), golden.batch())


def test_role():
    assert (NPO.role, NPO.needs_reference) == ("forget", True)


def test_the_policy_answers_before_the_reference():
    """Under FSDP2 with LoRA both are one sharded model, whose first forward must be the policy's."""
    calls = []

    class Named(ToyClassifier):
        def __init__(self, name):
            super().__init__()
            self.name = name

        def losses(self, batch):
            calls.append(self.name)
            return super().losses(batch)

    NPO()(Named("policy"), toy_batch(3), lambda: Named("reference"))
    assert calls == ["policy", "reference"]
