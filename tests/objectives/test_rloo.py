"""RLOO against its equation: J and the divergence enumerated, and a sampler with the leave-one-out baseline."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from unlearnkit.errors import ConfigurationError, MismatchError
from unlearnkit.host import PlainHost
from unlearnkit.objectives import NLL, RLOO
from unlearnkit.strategies import ForgetOnly
from unlearnkit.testing import ToyClassifier, toy_batch

REWARDS = torch.tensor([-2.0, 0.5, 1.0], dtype=torch.float64)
"""Of the three responses, one token each, to any prompt."""


class Enumerated:
    """J in full: every response is one class, so nothing has to be sampled."""

    def surrogate(self, model, batch):
        values = (model(batch).softmax(-1) * REWARDS).sum(-1)
        return -values, torch.ones_like(values)


class Sampled:
    """The policy gradient of k sampled responses a prompt, leave-one-out, averaged over all samples that there are."""

    def __init__(self, k):
        self.k = k

    def surrogate(self, model, batch):
        log_p = model(batch).log_softmax(-1)
        sums = 0.0
        for drawn in itertools.product(range(3), repeat=self.k):
            rewards = REWARDS[list(drawn)]
            others = (rewards.sum() - rewards) / (self.k - 1)
            chosen = log_p[:, list(drawn)]
            chance = chosen.detach().sum(-1).exp()
            sums = sums - chance * (chosen * (rewards - others)).mean(-1)
        return sums, torch.ones(len(log_p), dtype=log_p.dtype)


def models():
    model, target = (ToyClassifier(seed=seed, dtype=torch.float64) for seed in (0, 1))
    return model, target, toy_batch(5, dtype=torch.float64)


def gradient(objective, model, batch, target):
    value = objective(model, batch, lambda: target)
    return torch.autograd.grad(value.sums.sum() / value.counts.sum(), list(model.parameters()))


def test_it_is_minus_the_reward_plus_the_divergence_written_naively():
    model, target, batch = models()
    found = RLOO(Enumerated(), kl=0.3)(model, batch, lambda: target)
    for row, (logits, other) in enumerate(zip(model(batch).tolist(), target(batch).tolist(), strict=True)):
        p, q = ([math.exp(z) / sum(map(math.exp, values)) for z in values] for values in (logits, other))
        reward = sum(a * r for a, r in zip(p, REWARDS.tolist(), strict=True))
        divergence = sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
        assert found.sums[row].item() == pytest.approx(-reward + 0.3 * divergence, rel=1e-12)
    assert found.counts.tolist() == [1.0] * 5


@pytest.mark.parametrize("k", [2, 3])
def test_with_the_leave_one_out_baseline_its_gradient_is_on_average_that_of_the_enumerated_reward(k):
    model, target, batch = models()
    exact = gradient(RLOO(Enumerated(), kl=0.3), model, batch, target)
    sampled = gradient(RLOO(Sampled(k), kl=0.3), model, batch, target)
    torch.testing.assert_close(sampled, exact, rtol=1e-10, atol=1e-12)


def test_rounds_of_it_raise_the_reward_and_the_divergence_holds_it_back():
    reached = {}
    for kl in (0.0, 3.0):
        model, target, batch = models()
        model.load_state_dict(target.state_dict())
        host = PlainHost(
            model,
            forget=RLOO(Enumerated(), kl=kl),
            retain=NLL(),
            optimizer=torch.optim.SGD(model.parameters(), lr=0.3),
            reference=lambda target=target: target,
        )
        for _ in range(8):
            ForgetOnly().step(host, {"forget": batch, "retain": batch})
        reached[kl] = -Enumerated().surrogate(model, batch)[0].mean().item()
    start = -Enumerated().surrogate(target, batch)[0].mean().item()
    assert reached[0.0] > reached[3.0] > start


def test_padding_has_no_divergence():
    model, target, batch = models()

    class Masked(ToyClassifier):
        def units(self, batch):
            logits, targets, mask = super().units(batch)
            return logits, targets, mask & False

    masked = Masked(seed=0, dtype=torch.float64)
    masked.load_state_dict(model.state_dict())
    found = RLOO(Enumerated(), kl=0.3)(masked, batch, lambda: target)
    torch.testing.assert_close(found.sums, Enumerated().surrogate(model, batch)[0])


def test_it_draws_anew_where_it_learns_and_again_after_a_seed():
    class Numbered(Enumerated):
        rounds = ()
        bound = None

        def at(self, round_):
            self.rounds += (round_,)
            return self

        def bind(self, datamodule):
            self.bound = datamodule

    model, target, batch = models()
    policy = Numbered()
    objective = RLOO(policy)
    torch.manual_seed(5)
    for _ in range(2):
        objective(model, batch, lambda: target)
    with torch.no_grad():
        objective(model, batch, lambda: target)
    torch.manual_seed(5)
    objective(model, batch, lambda: target)
    first, second, again = policy.rounds
    assert first == again != second
    objective.bind("data")
    RLOO(Enumerated()).bind("data")
    assert policy.bound == "data"


def test_the_library_s_policy_gradient_fits_and_is_on_average_the_enumerated_reward():
    from unlearnkit.alignment import ExactJ, PolicyGradientJ
    from unlearnkit.synthetic.toy_preferences import toy_preferences, toy_prompts, toy_reward, toy_tokens
    from unlearnkit.testing import TinyGPT

    model, target = TinyGPT(seed=0), TinyGPT(seed=1)
    rows = toy_preferences()[:6]
    batch = toy_tokens([row.prompt for row in rows], [row.rejected for row in rows], first=0)
    policy = PolicyGradientJ([], toy_reward, samples=64, length=4)
    objective = RLOO(policy, kl=0.0)
    torch.manual_seed(0)
    mean = 0.0
    for _ in range(4):
        mean = mean + torch.cat([g.flatten() for g in gradient(objective, model, batch, target)]) / 4
    prompts = torch.stack([toy_prompts()[row.prompt] for row in rows])
    exact = torch.cat([g.flatten() for g in ExactJ(prompts, toy_reward, words=8, length=4).gradient(model)])
    assert torch.cosine_similarity(-mean, exact, dim=0) > 0.9


def test_what_is_wrong_is_named():
    model, target, batch = models()

    class Short:
        def surrogate(self, model, batch):
            return torch.zeros(3), torch.ones(3)

    with pytest.raises(
        MismatchError, match=r"one count for each of the 5 prompts. Found shapes \(3,\) and \(3,\)"
    ):
        RLOO(Short())(model, batch, lambda: target)
    with pytest.raises(ConfigurationError, match="RLOO compares with the target"):
        RLOO(Enumerated())(model, batch)
    with pytest.raises(ConfigurationError, match="`kl` must be 0 or above"):
        RLOO(Enumerated(), kl=-1.0)
