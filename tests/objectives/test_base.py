"""What every objective promises."""

from __future__ import annotations

import inspect

import pytest
import torch

from tests.objectives import golden
from unlearnkit import objectives
from unlearnkit.errors import ConfigurationError
from unlearnkit.objectives import Objective, PerSample
from unlearnkit.objectives.base import require_positive, require_reference
from unlearnkit.testing.toys import ToyClassifier, toy_batch

ALL = [
    value
    for value in vars(objectives).values()
    if inspect.isclass(value) and issubclass(value, Objective) and value is not Objective
]


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
class TestEveryObjective:
    def test_gives_one_sum_and_one_count_for_each_sample(self, kind):
        for model, batch in ((ToyClassifier(), toy_batch(5)), (golden.current(), golden.batch())):
            value = kind()(model, batch, lambda model=model: model)
            assert isinstance(value, PerSample)
            assert value.sums.shape == value.counts.shape == batch["index"].shape
            assert value.sums.requires_grad
            assert not value.counts.requires_grad

    def test_samples_do_not_know_each_other(self, kind):
        """The value of a sample is the same alone and in a batch, so weights by sample make sense."""
        model, reference, batch = ToyClassifier(seed=1), ToyClassifier(seed=2), toy_batch(5)
        whole = kind()(model, batch, lambda: reference)
        for row in range(5):
            alone = {name: value[row : row + 1] for name, value in batch.items()}
            value = kind()(model, alone, lambda: reference)
            torch.testing.assert_close(value.sums[0], whole.sums[row])
            assert value.counts[0] == whole.counts[row]

    def test_takes_an_empty_batch(self, kind):
        model = ToyClassifier()
        empty = {name: value[:0] for name, value in toy_batch(3).items()}
        value = kind()(model, empty, lambda: ToyClassifier(seed=1))
        value.sums.sum().backward()
        assert value.counts.sum() == 0
        assert model.layer.weight.grad.abs().max() == 0

    def test_says_which_side_it_is_for_and_has_no_parameters_by_default(self, kind):
        assert kind.role in ("forget", "retain")
        assert not list(kind().parameters())
        assert not kind().state_dict()


def test_the_base_computes_nothing():
    with pytest.raises(NotImplementedError):
        Objective()(ToyClassifier(), toy_batch(2))
    assert Objective().penalty(ToyClassifier()) is None


def test_require_reference_calls_what_it_is_given():
    model = ToyClassifier()
    assert require_reference(lambda: model, Objective()) is model
    with pytest.raises(ConfigurationError, match="Found None"):
        require_reference(None, Objective())


def test_require_positive_returns_the_value():
    assert require_positive("beta", 0.5) == 0.5
    with pytest.raises(ConfigurationError, match=r"`gamma` must be above 0\. Found -1"):
        require_positive("gamma", -1)
