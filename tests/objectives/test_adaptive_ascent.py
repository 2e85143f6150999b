"""AdaptiveAscent: SFRon's forget side, naively written."""

from __future__ import annotations

import pytest
import torch
from torch.optim import SGD

from unlearnkit.errors import ConfigurationError
from unlearnkit.host import PlainHost
from unlearnkit.objectives import NLL, AdaptiveAscent
from unlearnkit.testing.toys import ToyClassifier, toy_batch


def naive(losses, alpha, power):
    """-alpha B mean(c_i / sum(c) l_i), with c_i detached."""
    c = 1 / (losses.detach() ** power + 1e-15)
    return -alpha * len(losses) * (c / c.sum() * losses).mean()


@pytest.mark.parametrize(("alpha", "power"), [(25.0, 0.5), (1.0, 1.0), (1.0, 0.0)])
def test_loss_and_gradient_are_the_published_ones(alpha, power):
    model, twin, batch = ToyClassifier(seed=1), ToyClassifier(seed=1), toy_batch(7)
    value = AdaptiveAscent(alpha, power)(model, batch)
    loss = value.sums.sum() / value.counts.sum()
    loss.backward()
    expected = naive(twin.losses(batch), alpha, power)
    expected.backward()
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(model.layer.weight.grad, twin.layer.weight.grad)


class Sure(ToyClassifier):
    """Knows its first sample so well that fp32 rounds the loss to 0."""

    def forward(self, batch):
        logits = super().forward(batch)
        first = torch.zeros_like(logits[0]).index_fill(0, batch["targets"][:1], 200.0)
        return torch.cat([(logits[0] + first)[None], logits[1:]])


@pytest.mark.parametrize(("floor", "forgets"), [(0.0, False), (1e-4, True)])
def test_a_sample_without_any_loss_does_not_stop_the_others(floor, forgets):
    model, batch = Sure(seed=1), toy_batch(7)
    assert model.losses(batch)[0] == 0
    value = AdaptiveAscent(floor=floor)(model, batch)
    (value.sums.sum() / value.counts.sum()).backward()
    assert (model.layer.weight.grad.norm() > 1e-2) == forgets


def test_micro_batches_share_one_normalisation():
    batch = toy_batch(6)
    cut = [{name: value[low : low + 2] for name, value in batch.items()} for low in (0, 2, 4)]
    whole, parts = {"forget": batch, "retain": batch}, {"forget": cut, "retain": cut}
    found = []
    for given in (whole, parts):
        model = ToyClassifier(seed=1)
        host = PlainHost(
            model, forget=AdaptiveAscent(), retain=NLL(), optimizer=SGD(model.parameters(), lr=0.1)
        )
        found.append(host.gradients("forget", given))
    torch.testing.assert_close(found[0][0], found[1][0])
    torch.testing.assert_close(found[0][1], found[1][1])


def test_what_is_forgotten_already_weighs_least():
    model, batch = ToyClassifier(seed=1), toy_batch(7)
    order = model.losses(batch).argsort()
    weights = AdaptiveAscent()(model, batch).counts
    assert torch.equal(weights[order], weights.sort(descending=True).values)


@pytest.mark.parametrize(
    ("arguments", "name"), [({"alpha": 0.0}, "alpha"), ({"power": -1.0}, "power"), ({"floor": -1.0}, "floor")]
)
def test_refused(arguments, name):
    with pytest.raises(ConfigurationError, match=f"`{name}` must be"):
        AdaptiveAscent(**arguments)
