"""Toy models and batches are seeded and speak the model protocol."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy

from unlearnkit.testing import ToyClassifier, toy_batch, toy_dataset, toy_pair


def test_the_model_is_a_function_of_its_seed_and_leaves_the_global_generator_alone():
    torch.manual_seed(1)
    first = ToyClassifier(seed=3)
    torch.manual_seed(2)
    again, other = ToyClassifier(seed=3), ToyClassifier(seed=4)
    assert torch.equal(first.layer.weight, again.layer.weight)
    assert not torch.equal(first.layer.weight, other.layer.weight)


def test_the_same_seed_gives_the_same_values_in_every_dtype():
    wide = ToyClassifier(seed=3, dtype=torch.float64)
    torch.testing.assert_close(
        ToyClassifier(seed=3).layer.weight.double(), wide.layer.weight, rtol=1e-6, atol=1e-7
    )
    batch, wide_batch = toy_batch(4, seed=1), toy_batch(4, seed=1, dtype=torch.float64)
    assert torch.equal(wide_batch["inputs"].float(), batch["inputs"])


def test_the_model_protocol():
    model, batch = ToyClassifier(features=4, classes=6), toy_batch(5, features=4, classes=6)
    logits = model(batch)
    assert logits.shape == (5, 6)
    torch.testing.assert_close(model.losses(batch), cross_entropy(logits, batch["targets"], reduction="none"))
    assert model.counts(batch).tolist() == [1] * 5
    units, targets, mask = model.units(batch)
    assert torch.equal(units[:, 0], logits)
    assert torch.equal(targets[:, 0], batch["targets"])
    assert mask.all()


def test_batches_differ_by_seed_and_pairs_hold_other_samples_on_each_side():
    assert torch.equal(toy_batch(4, seed=1)["inputs"], toy_batch(4, seed=1)["inputs"])
    assert not torch.equal(toy_batch(4, seed=1)["inputs"], toy_batch(4, seed=2)["inputs"])
    pair = toy_pair(forget=3, retain=3)
    assert not torch.equal(pair["forget"]["inputs"], pair["retain"]["inputs"])
    assert len(toy_pair(forget=2, retain=7)["retain"]["index"]) == 7


def test_the_data_set_holds_pairs():
    samples = toy_dataset(6, features=2, classes=4, seed=5)
    assert len(samples) == 6
    inputs, target = samples[0]
    assert inputs.shape == (2,)
    assert isinstance(target, int)
    assert 0 <= target < 4


@pytest.mark.parametrize("seed", range(3))
def test_the_two_sides_are_in_conflict_often_enough_to_be_of_use(seed):
    """A toy whose gradients never conflict would let wrong strategies pass."""
    from unlearnkit.host import PlainHost
    from unlearnkit.objectives import NLL, AscentNLL
    from unlearnkit.strategies import NGDiff

    model = ToyClassifier(seed=seed)
    host = PlainHost(
        model, forget=AscentNLL(), retain=NLL(), optimizer=torch.optim.SGD(model.parameters(), lr=0.1)
    )
    cosines = [NGDiff().step(host, toy_pair(seed=r)).gram.cosine.item() for r in range(20)]
    assert min(cosines) < -0.1
