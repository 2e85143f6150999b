"""ExactJ against a naive sum over all responses, and its gradient against finite differences."""

from __future__ import annotations

from itertools import product

import pytest
import torch

from unlearnkit.alignment import ExactJ
from unlearnkit.errors import ConfigurationError, NonFiniteError
from unlearnkit.synthetic.toy_preferences import says_tox, toy_prompts, toy_reward, toy_tokens
from unlearnkit.testing import TinyGPT, toy_target


def exact(**arguments):
    return ExactJ(toy_prompts(), toy_reward, **{"words": 8, "length": 4, **arguments})


def test_the_value_is_the_naive_sum_over_every_response() -> None:
    model = TinyGPT(width=8, layers=1, seed=3, dtype=torch.float64)
    answers = list(product(range(8), repeat=4))
    totals, tox = 0.0, 0.0
    for prompt in range(6):
        batch = toy_tokens([prompt] * len(answers), answers)
        with torch.no_grad():
            chances = (-model.losses(batch)).exp()
        assert chances.sum().item() == pytest.approx(1.0)
        rewards = toy_reward(batch["input_ids"][:, :2], batch["input_ids"][:, 2:]).sum(1)
        totals += float((chances * rewards).sum()) / 6
        tox += float(chances[says_tox(batch["input_ids"][:, :2], batch["input_ids"][:, 2:])].sum()) / 6
    assert exact().value(model) == pytest.approx(totals, abs=1e-12)
    assert exact().probability(model, says_tox) == pytest.approx(tox, abs=1e-12)


def test_the_gradient_is_that_of_finite_differences() -> None:
    model = TinyGPT(width=8, layers=1, seed=3, dtype=torch.float64).train()
    found = exact().gradient(model)
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())
    generator = torch.Generator().manual_seed(0)
    parameters = list(model.parameters())
    along = [torch.randn(one.shape, generator=generator, dtype=torch.float64) for one in parameters]
    values = []
    with torch.no_grad():
        for step in (1e-5, -2e-5):
            for parameter, direction in zip(parameters, along, strict=True):
                parameter += step * direction
            values.append(exact().value(model))
    slope = sum(float((one * direction).sum()) for one, direction in zip(found, along, strict=True))
    assert (values[0] - values[1]) / 2e-5 == pytest.approx(slope, rel=1e-6)


def test_the_target_talks_as_the_corpus_does() -> None:
    """About 43 % of what it learned is toxic, and its mean reward is about a half."""
    model = toy_target()
    assert 0.3 < exact().value(model) < 0.8
    assert 0.38 < exact().probability(model, says_tox) < 0.52


def test_a_reward_of_whole_responses_is_the_sum_of_its_words() -> None:
    model = TinyGPT()
    summed = ExactJ(toy_prompts(), lambda prompts, ids: toy_reward(prompts, ids).sum(1), words=8, length=4)
    assert summed.value(model) == pytest.approx(exact().value(model), abs=1e-12)


def test_bad_input() -> None:
    with pytest.raises(ConfigurationError, match="`length` must be 1 or above. Found 0"):
        exact(length=0)
    with pytest.raises(
        ConfigurationError, match="`model` must have a vocabulary of exactly the 3 words.*Found 8"
    ):
        exact(words=3).value(TinyGPT())
    with pytest.raises(NonFiniteError, match="`reward` must return finite numbers. Found nan"):
        ExactJ(toy_prompts(), lambda prompts, ids: ids.sum(1) * torch.nan, words=8, length=2)
