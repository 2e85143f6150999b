"""What every objective promises."""

from __future__ import annotations

import inspect

import pytest
import torch

from tests.objectives import golden
from tests.objectives.tiny_diffusion import TinyDiffusion, diffusion_batch
from unlearnkit import objectives
from unlearnkit.errors import ConfigurationError, UnknownNameError
from unlearnkit.objectives import Objective, PerSample
from unlearnkit.objectives.base import (
    all_logits,
    require_alternative,
    require_not_negative,
    require_parity,
    require_positive,
    require_reference,
)
from unlearnkit.testing.toys import ToyClassifier, toy_batch

ALL = [
    value
    for value in vars(objectives).values()
    if inspect.isclass(value) and issubclass(value, Objective) and value is not Objective
]


class FirstToken:
    """A reward that needs no samples: J is the probability of one class at the first place."""

    def surrogate(self, model, batch):
        chance = model.units(batch)[0].softmax(-1)[:, 0, 0]
        return -chance, torch.ones_like(chance)


WITH_ARGUMENTS = {
    "RLOO": lambda: objectives.RLOO(FirstToken()),
    "WithDistance": lambda: objectives.WithDistance(objectives.AscentNLL()),
    "Replay": lambda: objectives.Replay(per_class=2, classes=[0, 2]),
}

OF_DIFFUSION = ("Replay", "UniformPixels", "WrongCondition")
"""Objectives that other models are refused by."""


def made(kind):
    """Return an objective with its default arguments, or with what it cannot do without."""
    return WITH_ARGUMENTS.get(kind.__name__, kind)()


class Toy(ToyClassifier):
    """A classifier whose one layer shows its hidden states: its logits."""

    def hidden_states(self, batch, layer):
        """Return them with a mask of ones, [batch, 1, classes] and [batch, 1]."""
        hidden, _, mask = self.units(batch)
        return hidden, mask


class Shown(golden.GivenLogits):
    """The golden model, whose hidden states are its logits."""

    def hidden_states(self, batch, layer):
        """Return them with the mask of answer tokens."""
        return self(batch), batch["labels"] != -100


def toy(kind, seed=0):
    """Return a model with one layer that an objective fits."""
    return TinyDiffusion(seed) if kind.__name__ in OF_DIFFUSION else Toy(seed=seed)


def rows(kind, size):
    """Return a batch for it."""
    return diffusion_batch(size) if kind.__name__ in OF_DIFFUSION else answered(toy_batch(size))


def answered(batch):
    """Return a batch that has second answers."""
    return batch | {"alternative": dict(batch)}


def some(batch, rows):
    """Return some samples of a batch with their second answers."""
    return {
        name: some(value, rows) if isinstance(value, dict) else value[rows] for name, value in batch.items()
    }


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
class TestEveryObjective:
    def test_gives_one_sum_and_one_count_for_each_sample(self, kind):
        shown = Shown(golden.current().values.detach())
        others = [] if kind.__name__ in OF_DIFFUSION else [(shown, answered(golden.batch()))]
        for model, batch in ((toy(kind), rows(kind, 5)), *others):
            reference = toy(kind) if isinstance(model, TinyDiffusion) else model
            value = made(kind)(model, batch, lambda reference=reference: reference)
            assert isinstance(value, PerSample)
            assert value.sums.shape == value.counts.shape == batch["index"].shape
            assert value.sums.requires_grad
            assert not value.counts.requires_grad

    def test_samples_do_not_know_each_other(self, kind):
        """The value of a sample is the same alone and in a batch, so weights by sample make sense."""
        model, reference, batch = toy(kind, seed=1), toy(kind, seed=2), rows(kind, 5)
        whole = made(kind)(model, batch, lambda: reference)
        for row in range(5):
            value = made(kind)(model, some(batch, slice(row, row + 1)), lambda: reference)
            torch.testing.assert_close(value.sums[0], whole.sums[row])
            assert value.counts[0] == whole.counts[row]

    def test_takes_an_empty_batch(self, kind):
        model = toy(kind)
        empty = some(rows(kind, 3), slice(0, 0))
        value = made(kind)(model, empty, lambda: toy(kind, seed=1))
        value.sums.sum().backward()
        assert value.counts.sum() == 0
        assert model.layer.weight.grad.abs().max() == 0

    def test_says_which_side_it_is_for_and_has_no_parameters_by_default(self, kind):
        assert kind.role in ("forget", "retain")
        assert not list(made(kind).parameters())
        assert not made(kind).state_dict()


def test_the_base_computes_nothing():
    with pytest.raises(NotImplementedError):
        Objective()(ToyClassifier(), toy_batch(2))
    assert Objective().penalty(ToyClassifier()) is None


@pytest.mark.parametrize(
    "kind", [kind for kind in ALL if kind.__name__ not in OF_DIFFUSION], ids=lambda kind: kind.__name__
)
def test_the_policy_answers_before_the_reference(kind):
    """Under FSDP2 with LoRA both are one sharded model, whose first forward must be the policy's."""
    calls = []

    class Named(Toy):
        def __init__(self, name):
            super().__init__()
            self.name = name

        def forward(self, batch):
            calls.append(self.name)
            return super().forward(batch)

    made(kind)(Named("policy"), answered(toy_batch(3)), lambda: Named("reference"))
    assert calls[0] == "policy"
    assert set(calls) <= ({"policy", "reference"} if kind.needs_reference else {"policy"})


def test_require_reference_calls_what_it_is_given():
    model = ToyClassifier()
    assert require_reference(lambda: model, Objective()) is model
    with pytest.raises(ConfigurationError, match="Found None"):
        require_reference(None, Objective())


def test_require_not_negative_and_parity_return_the_value():
    assert require_not_negative("beta", 0.0) == 0.0
    assert require_parity("open-unlearning") == "open-unlearning"
    with pytest.raises(ConfigurationError, match=r"`beta` must be 0 or above\. Found nan"):
        require_not_negative("beta", float("nan"))
    with pytest.raises(UnknownNameError, match="`parity` must be one of"):
        require_parity("ou")


def test_require_alternative_returns_the_second_answers():
    assert require_alternative({"alternative": 7}, Objective()) == 7


def test_all_logits_are_those_of_every_position_in_fp32():
    model = golden.GivenLogits(torch.ones(2, 5, 4, dtype=torch.bfloat16))
    assert all_logits(model, golden.batch(), Objective()).shape == (2, 5, 4)
    assert all_logits(model, golden.batch(), Objective()).dtype == torch.float32
    assert all_logits(golden.current(), golden.batch(), Objective()).dtype == torch.float64


def test_require_positive_returns_the_value():
    assert require_positive("beta", 0.5) == 0.5
    with pytest.raises(ConfigurationError, match=r"`gamma` must be above 0\. Found -1"):
        require_positive("gamma", -1)
