"""RewardWeightedJ: its formula, its direction on the toy world, what it takes from a data module."""

from __future__ import annotations

import pytest
import torch

from unlearnkit.alignment import ExactJ, RewardWeightedJ
from unlearnkit.datamodules import Preferences
from unlearnkit.errors import ConfigurationError, DataError, MismatchError, NonFiniteError
from unlearnkit.models import CausalLM
from unlearnkit.synthetic.toy_preferences import toy_preferences, toy_prompts, toy_reward, toy_tokens
from unlearnkit.testing import TinyGPT, toy_sides, toy_target


def negatives(rate: float, parts: int = 3):
    """Return batches of the target's negatives, and their true rewards."""
    pairs, _ = toy_sides(toy_preferences(mislabel_rate=rate))
    batches = []
    for part in range(parts):
        some = pairs[part::parts]
        batches.append(toy_tokens([pair.prompt for pair in some], [pair.rejected for pair in some]))
    rewards = [toy_reward(one["input_ids"][:, :2], one["input_ids"][:, 2:]).sum(1) for one in batches]
    return batches, torch.cat(rewards)


def test_value_and_gradient_are_the_formulas() -> None:
    model = TinyGPT(dtype=torch.float64)
    batches, rewards = negatives(0.0)
    losses = torch.cat([model.losses(batch) for batch in batches])
    value = ((rewards - rewards.mean()) * -losses).mean()
    measure = RewardWeightedJ(batches, rewards.tolist())
    assert measure.value(model) == pytest.approx(value.item(), abs=1e-10)
    expected = torch.autograd.grad(value, list(model.parameters()))
    found = measure.at(3).gradient(model)
    assert all(torch.allclose(one, two) for one, two in zip(found, expected, strict=True))
    assert all(parameter.grad is None for parameter in model.parameters())


def test_its_direction_is_js_where_ideal_answers_are_among_the_negatives() -> None:
    """The sheet's prototype: .79. Of three seeds here .91 to .96 with mislabelled negatives, .63 to .81 without."""
    cosines = {}
    for rate in (0.0, 1 / 3):
        model = toy_target(rate)
        batches, rewards = negatives(rate)
        exact = ExactJ(toy_prompts(), toy_reward, words=8, length=4)
        flat = [
            torch.cat([part.flatten() for part in measure.gradient(model)])
            for measure in (exact, RewardWeightedJ(batches, rewards.tolist()))
        ]
        cosines[rate] = torch.nn.functional.cosine_similarity(*flat, dim=0).item()
    assert cosines[1 / 3] > 0.8
    assert cosines[0.0] > 0.3


def test_a_data_module_gives_candidates_and_rewards() -> None:
    data = Preferences(pairs=60, prompts=30, vocab_size=400)
    data.setup()
    model = CausalLM(hidden_size=16, layers=1, heads=2, max_length=128)
    model.materialize(data.tokenizer)
    own, given = (
        RewardWeightedJ(),
        RewardWeightedJ(text_reward=lambda prompts, texts: [[1.0, 0.5]] * len(texts)),
    )
    own.bind(data)
    given.bind(data)
    rewards = data.reward(*zip(*[(row.question, row.answer) for row in data.samples("forget")], strict=True))
    same = RewardWeightedJ(list(data.batches("forget")), rewards)
    assert own.value(model) == pytest.approx(same.value(model))
    assert given.value(model) == pytest.approx(0.0, abs=1e-9), "equal rewards prefer nothing"


def test_bad_input() -> None:
    model = TinyGPT()
    batches, rewards = negatives(0.0)
    for wrong, count in ((rewards[:-1], "more"), (torch.cat([rewards, rewards]), 312)):
        with pytest.raises(MismatchError, match=f"Found {len(wrong)} rewards and {count} rows"):
            RewardWeightedJ(batches, wrong.tolist()).value(model)
    with pytest.raises(NonFiniteError, match="`rewards` must be finite numbers. Found nan for row 1"):
        RewardWeightedJ(batches, [0.0, float("nan")])
    with pytest.raises(ConfigurationError, match="`candidates` and `rewards` must be given"):
        RewardWeightedJ().value(model)
    with pytest.raises(DataError, match="`candidates` must hold at least one row"):
        RewardWeightedJ([], []).value(model)

    class Silent:
        reward = None

        def batches(self, side: str) -> list:
            return batches

    with pytest.raises(ConfigurationError, match="`text_reward` must be given where the data have no reward"):
        RewardWeightedJ().bind(Silent())
