"""Scores of weights against naive transcriptions of the published code."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from unlearnkit.errors import ConfigurationError, NonFiniteError, UnknownNameError
from unlearnkit.gradients import saliency_mask
from unlearnkit.gradients.saliency import mean_gradients
from unlearnkit.testing.toys import ToyClassifier, toy_batch

FORGET = [toy_batch(size, seed=size, dtype=torch.float64) for size in (4, 4, 3)]
RETAIN = [toy_batch(size, seed=10 + size, dtype=torch.float64) for size in (6, 5)]


class Network(ToyClassifier):
    """Add a layer with dropout and batch statistics, and a parameter that no loss hangs on."""

    def __init__(self):
        super().__init__(seed=3, dtype=torch.float64)
        self.norm = nn.BatchNorm1d(5, dtype=torch.float64)
        self.unused = nn.Parameter(torch.ones(2, dtype=torch.float64))

    def forward(self, batch):
        return self.layer(nn.functional.dropout(self.norm(batch["inputs"]), 0.5, self.training))


def network():
    return Network()


def naive_gradients(batches):
    """Return each batch's gradient of its mean cross-entropy, flattened, by hand."""
    found = []
    model = network().eval()
    for batch in batches:
        model.zero_grad()
        cross_entropy(model(batch), batch["targets"]).backward()
        found.append(
            torch.cat(
                [(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in model.parameters()]
            )
        )
    return torch.stack(found)


def flat(tensors):
    return torch.cat([tensor.flatten() for tensor in tensors])


def sides(side):
    return FORGET if side == "forget" else RETAIN


def largest(score, keep):
    kept = torch.zeros(len(score), dtype=torch.bool)
    kept[score.argsort(descending=True)[: int(len(score) * keep)]] = True
    return kept


@pytest.mark.parametrize("keep", [0.2, 0.5])
def test_salun_is_the_absolute_value_of_the_sum(keep):
    expected = largest(naive_gradients(FORGET).sum(0).abs(), keep)
    assert torch.equal(flat(saliency_mask(network(), sides, "salun", keep=keep)), expected)


@pytest.mark.parametrize("keep", [0.2, 0.5])
def test_salun_difference_is_dualoptims(keep):
    score = naive_gradients(FORGET).mean(0).abs() - naive_gradients(RETAIN).mean(0).abs()
    found = flat(saliency_mask(network(), sides, "salun_difference", keep=keep))
    assert torch.equal(found, largest(score, keep))
    assert not torch.equal(found, largest(naive_gradients(FORGET).sum(0).abs(), keep))


@pytest.mark.parametrize("gamma", [0.5, 1.0, 3.0])
def test_fisher_ratio_is_sfrons(gamma):
    forget, retain = naive_gradients(FORGET).square().mean(0), naive_gradients(RETAIN).square().mean(0)
    expected = (forget + 1e-15) / (retain + 1e-15) >= gamma
    found = flat(saliency_mask(network(), sides, "fisher_ratio", gamma=gamma))
    assert torch.equal(found, expected)
    assert found.any() and not found.all()


def test_the_model_is_left_as_it_was():
    model = network().train()
    model.layer.eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    generator = torch.random.get_rng_state()
    saliency_mask(model, sides, "salun")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert (model.training, model.norm.training, model.layer.training) == (True, True, False)
    assert all(p.grad is None for p in model.parameters())
    assert torch.equal(torch.random.get_rng_state(), generator)


def test_frozen_parameters_are_left_out():
    model = network()
    model.norm.requires_grad_(False)
    assert [tuple(mean.shape) for mean in mean_gradients(model, FORGET)] == [(2,), (3, 5), (3,)]


def test_half_precision_is_added_up_in_fp32():
    model = ToyClassifier(dtype=torch.bfloat16)
    means = mean_gradients(model, [toy_batch(4, seed=i, dtype=torch.bfloat16) for i in range(300)])
    assert {mean.dtype for mean in means} == {torch.float32}
    wide = [toy_batch(4, seed=i, dtype=torch.bfloat16) for i in range(300)]
    wide = [batch | {"inputs": batch["inputs"].float()} for batch in wide]
    reference = ToyClassifier()
    reference.load_state_dict(model.state_dict())
    for found, expected in zip(means, mean_gradients(reference, wide), strict=True):
        torch.testing.assert_close(found, expected, rtol=0.05, atol=2e-3)


def test_shares_of_ranks_are_summed():
    """Two ranks, played one after the other: their sums and counts make the mean of all batches."""
    given: list[list[torch.Tensor]] = []
    for share in (FORGET[0::2], FORGET[1::2]):
        seen: list[torch.Tensor] = []
        mean_gradients(
            network(), share, rank_sum=lambda value, seen=seen: (seen.append(value.clone()), value)[1]
        )
        given.append(seen)
    totals = iter([a + b for a, b in zip(*given, strict=True)])
    found = mean_gradients(network(), FORGET[0::2], rank_sum=lambda value: next(totals))
    torch.testing.assert_close(flat(found), naive_gradients(FORGET).mean(0), rtol=1e-12, atol=1e-15)


def test_wrong_calls_are_refused():
    with pytest.raises(UnknownNameError, match=r"`score` must be one of: fisher_ratio, salun"):
        saliency_mask(network(), sides, "fisher")
    with pytest.raises(ConfigurationError, match=r"`batches` must hold at least one batch"):
        saliency_mask(network(), lambda side: [], "salun")
    broken = network()
    with torch.no_grad():
        broken.layer.weight[0, 0] = torch.nan
    with pytest.raises(NonFiniteError, match=r"`scores` must be finite"):
        saliency_mask(broken, sides, "salun")
