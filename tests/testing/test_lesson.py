"""The notebooks' small worlds."""

from __future__ import annotations

import pytest
import torch

from unlearnkit.errors import ConfigurationError
from unlearnkit.strategies import ForgetOnly
from unlearnkit.testing.lesson import (
    accuracy,
    authors,
    digit_net,
    digits,
    fresh,
    learned,
    news,
    recall,
    train_net,
    unlearned,
)
from unlearnkit.testing.notebook import SetUp


def test_digits_are_split_and_noisy():
    data = digits(forget=0.1, noise=0.1, seed=0)
    assert [len(part) for part in (data.forget, data.retain, data.test, data.train)] == [120, 1080, 597, 1200]
    assert data.forget.tensors[0].shape == (120, 1, 8, 8)
    assert 0.05 < data.noisy.double().mean() < 0.15
    clean = digits(forget=0.1, noise=0.0, seed=0)
    changed = torch.cat([data.forget.tensors[1], data.retain.tensors[1]]) != torch.cat(
        [clean.forget.tensors[1], clean.retain.tensors[1]]
    )
    assert torch.equal(changed, data.noisy), "a replaced label is always another one"


def test_a_seed_is_a_split():
    first, again, other = digits(seed=0), digits(seed=0), digits(seed=1)
    assert torch.equal(first.forget.tensors[0], again.forget.tensors[0])
    assert not torch.equal(first.forget.tensors[0], other.forget.tensors[0])


def test_a_class_is_forgotten_by_its_true_label():
    data = digits(forget=3, noise=0.2)
    assert (data.forget.tensors[1] == 3).double().mean() < 1.0
    clean = digits(forget=3, noise=0.0)
    assert set(clean.forget.tensors[1].tolist()) == {3} and 3 not in clean.retain.tensors[1]
    assert len(data.forget) == len(clean.forget)


@pytest.mark.parametrize("arguments", [{"forget": 0.0}, {"forget": 10}, {"forget": 1.0}, {"noise": 1.0}])
def test_digits_out_of_range(arguments):
    with pytest.raises(ConfigurationError, match=f"`{next(iter(arguments))}` must"):
        digits(**arguments)


def test_a_net_learns_the_digits():
    data = digits(forget=3, noise=0.0)
    net = train_net(digit_net(), data.train, epochs=6)
    assert accuracy(net, data.test) > 0.9
    again = train_net(digit_net(), data.train, epochs=6)
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), again.parameters(), strict=True))


def test_building_a_net_leaves_the_generator_alone():
    before = torch.random.get_rng_state()
    digit_net(seed=5)
    assert torch.equal(before, torch.random.get_rng_state())


def test_authors_are_learned_by_heart():
    data = authors("full", count=10, questions=3)
    model = learned(data, SetUp(0), epochs=40)
    found = recall(model, data)
    assert found["retain_rouge"] > 0.95 and found["forget_rouge"] > 0.95
    copy = fresh(model)
    with torch.no_grad():
        next(copy.parameters()).zero_()
    assert recall(model, data) == found, "a copy shares nothing"


def test_news_have_the_requests_of_muse():
    sizes = {}
    for forget in ("raw", "scal_2", "sust_2"):
        data = news(forget=forget, articles=10)
        data.setup()
        sizes[forget] = len(data.samples("forget")), len(data.samples("retain"))
    assert sizes == {"raw": (3, 6), "scal_2": (6, 6), "sust_2": (3, 6)}  # an article and two cards of each
    full, retain = news("full", articles=10), news("retain", articles=10)
    full.setup()
    retain.setup()
    assert len(full.samples("train")) - len(retain.samples("train")) == 3


def test_what_learns_the_news_has_their_context():
    data = news("full", articles=10)
    model = learned(data, SetUp(0), epochs=1, max_length=192)
    assert model.context_length == 192
    assert max(len(block.ids) for block in data.samples("train")) <= 192


def test_unlearning_leaves_the_target_and_shows_every_fifth_round():
    target = learned(authors("full", count=10, questions=3), SetUp(0), epochs=1)
    before, pair = fresh(target), authors("pair", count=10, questions=3)
    seen = []
    model = unlearned(target, pair, ForgetOnly(), 11, look=lambda t, found: seen.append((t, found)))
    assert seen == [(5, model), (10, model)]
    assert all(torch.equal(a, b) for a, b in zip(target.parameters(), before.parameters(), strict=True))
    batch = pair.batch(0)["forget"]
    assert model.losses(batch).sum() > target.losses(batch).sum() + 1
