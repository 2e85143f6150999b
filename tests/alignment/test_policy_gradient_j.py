"""PolicyGradientJ against the exact J of the toy world, and as an objective's surrogate."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from unlearnkit.alignment import ExactJ, PolicyGradientJ
from unlearnkit.errors import (
    ConfigurationError,
    DataError,
    MismatchError,
    NonFiniteError,
    UnknownNameError,
)
from unlearnkit.synthetic.toy_preferences import toy_preferences, toy_prompts, toy_reward, toy_tokens
from unlearnkit.testing import TinyGPT, toy_target

PROMPTS = toy_prompts().tolist()


def sampled(**arguments):
    return PolicyGradientJ(
        PROMPTS, toy_reward, **{"samples": 40, "length": 4, "batch_rows": 1000, **arguments}
    )


def cosine(one: list[Tensor], two: list[Tensor]) -> float:
    flat = [torch.cat([part.flatten() for part in parts]).double() for parts in (one, two)]
    return torch.nn.functional.cosine_similarity(*flat, dim=0).item()


@pytest.fixture(scope="module")
def exact() -> ExactJ:
    return ExactJ(toy_prompts(), toy_reward, words=8, length=4)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("rate", [0.0, 1 / 3])
def test_the_sampled_value_is_within_three_standard_errors(exact: ExactJ, rate: float, seed: int) -> None:
    model = toy_target(rate)
    found = sampled(samples=160, seed=seed).estimate(model)
    assert abs(found.value - exact.value(model)) < 3 * found.standard_error
    assert found.standard_error < 0.12


def test_the_direction_at_240_samples_is_nearly_the_exact_one(exact: ExactJ) -> None:
    """The sheet's prototype: .992 with reward-to-go and a baseline, .981 without either, at 240 samples."""
    model = toy_target()
    truth = exact.gradient(model)
    assert cosine(sampled().gradient(model), truth) > 0.97
    few = sampled(samples=10, baseline="none", reward_to_go=False)
    assert cosine(few.gradient(model), truth) < cosine(sampled(samples=160).gradient(model), truth)


@pytest.mark.parametrize("options", [{}, {"baseline": "none"}, {"reward_to_go": False}])
def test_the_mean_over_rounds_is_the_exact_gradient_in_size_too(exact: ExactJ, options: dict) -> None:
    model = TinyGPT(width=8, layers=1)
    truth = torch.cat([part.flatten() for part in exact.gradient(model)])
    estimator = sampled(samples=4, **options)
    draws = torch.stack(
        [torch.cat([part.flatten() for part in estimator.at(round_).gradient(model)]) for round_ in range(60)]
    )
    along = draws @ truth / truth.square().sum()
    assert abs(along.mean().item() - 1.0) < 3 * along.std().item() / math.sqrt(len(along))


def test_rounds_seeds_and_batches(exact: ExactJ) -> None:
    model = toy_target()
    first = sampled().gradient(model)
    assert all(map(torch.equal, first, sampled().gradient(model)))
    assert sampled().at(1).value(model) != sampled().value(model) != sampled(seed=1).value(model)
    split = sampled(batch_rows=50).gradient(model)
    assert all(torch.allclose(one, two, atol=1e-4) for one, two in zip(first, split, strict=True))


def test_the_surrogate_descends_where_j_rises() -> None:
    """On a batch with one row for each prompt, its gradient is minus the provider's."""
    model = toy_target()
    batch = toy_tokens(range(6), [[0, 2, 2, 5]] * 6)
    sums, counts = sampled().surrogate(model, batch)
    assert counts.tolist() == [1.0] * 6
    found = torch.autograd.grad(sums.sum() / counts.sum(), list(model.parameters()))
    for one, two in zip(found, sampled().gradient(model), strict=True):
        assert torch.allclose(-one, two, atol=1e-4)


def test_the_surrogate_of_a_row_does_not_know_the_other_rows() -> None:
    model = toy_target()
    pairs = toy_preferences(5)
    batch = toy_tokens([pair.prompt for pair in pairs], [pair.rejected for pair in pairs], first=7)
    whole, _ = sampled(samples=3).surrogate(model, batch)
    part = {name: value[2:4] for name, value in batch.items()}
    some, _ = sampled(samples=3).surrogate(model, part)
    assert torch.allclose(whole[2:4], some, atol=1e-4)


def test_an_ended_response_earns_nothing_more() -> None:
    """EOS is a word like any other here; what is drawn after it does not count."""
    model = TinyGPT(seed=1)
    ending = sampled(eos_id=7, reward_to_go=True)
    one = ending.estimate(model)
    without = PolicyGradientJ(PROMPTS, toy_reward, samples=40, length=4).estimate(model)
    assert one.value != without.value
    assert all(part.isfinite().all() for part in ending.gradient(model))


def test_bad_input() -> None:
    with pytest.raises(
        UnknownNameError, match="`baseline` must be one of: leave_one_out, none. Found 'mean'"
    ):
        sampled(baseline="mean")
    with pytest.raises(
        ConfigurationError, match="`samples` must be 2 or above where the baseline is the other"
    ):
        sampled(samples=1)
    with pytest.raises(ConfigurationError, match="`length` must be 1 or above. Found 0"):
        sampled(length=0)
    with pytest.raises(DataError, match="`prompts` must hold at least one prompt. Found none"):
        PolicyGradientJ([], toy_reward).value(TinyGPT())
    model = TinyGPT()
    for reward, error, message in (
        (lambda prompts, ids: ids[:, 0] * torch.nan, NonFiniteError, "Found nan for response 0"),
        (lambda prompts, ids: ids[:, 0] / 0.0, NonFiniteError, "must return finite numbers"),
        (lambda prompts, ids: ids[1:, 0].double(), MismatchError, r"must return a tensor of shape \(240,\)"),
        (lambda prompts, ids: [0.0] * len(ids), MismatchError, "Found a list"),
    ):
        with pytest.raises(error, match=message):
            PolicyGradientJ(PROMPTS, reward, samples=40, length=4).gradient(model)
    whole = toy_tokens([0], [[0, 2, 2, 5]])
    whole["labels"] = whole["input_ids"]
    with pytest.raises(DataError, match="`batch` must hold prompts to respond to. Found row 0 without one"):
        sampled().surrogate(model, whole)
