"""WithDistance: U2A's inner problem on the host, with any forget objective."""

from __future__ import annotations

import pytest
import torch

from unlearnkit.errors import ConfigurationError, UnknownNameError
from unlearnkit.host import PlainHost
from unlearnkit.objectives import NLL, NPO, AscentNLL, NLLAndDistance, SimNPO, WithDistance
from unlearnkit.testing.toys import ToyClassifier, toy_batch


class Third:
    def of(self, index):
        return torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)[index]


def host_of(objective):
    model, target = ToyClassifier(dtype=torch.float64), ToyClassifier(seed=1, dtype=torch.float64)
    sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    host = PlainHost(model, forget=objective, retain=None, optimizer=sgd, reference=lambda: target)
    host.sample_weights = Third()
    return host, target


@pytest.mark.parametrize("objective", [AscentNLL(), NPO(beta=0.2), SimNPO()])
def test_the_weighted_loss_is_the_paper_s_sum(objective):
    host, target = host_of(WithDistance(objective, alpha=0.7))
    batch = toy_batch(3, dtype=torch.float64)
    sums = objective(host.model, batch, lambda: target).sums
    distance = sum(
        (a - b).square().sum() for a, b in zip(host.model.parameters(), target.parameters(), strict=True)
    )
    want = (torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64) * sums).sum() + 0.7 * distance
    for parts in (batch, [toy_batch(3, dtype=torch.float64)]):
        found = host.gradients("forget", {"forget": parts, "retain": None})[0]
        assert found.item() == pytest.approx(want.item(), rel=1e-13)


def test_units_keep_the_objective_s_counts():
    class Counted(ToyClassifier):
        def counts(self, batch):
            return 2 + batch["index"]

    model = Counted()
    assert WithDistance(AscentNLL(), per="unit")(model, toy_batch(3)).counts.tolist() == [2, 3, 4]
    assert WithDistance(AscentNLL())(model, toy_batch(3)).counts.tolist() == [1, 1, 1]


def test_an_objective_to_keep_is_refused_with_the_sign_trap():
    for objective in (NLL(), NLLAndDistance()):
        with pytest.raises(
            ConfigurationError, match=r"made for the retain side.*wrong sign.*Use AscentNLL or NPO"
        ):
            WithDistance(objective)


def test_bad_arguments_are_refused():
    with pytest.raises(ConfigurationError, match="`alpha` must be above 0. Found 0"):
        WithDistance(AscentNLL(), alpha=0)
    with pytest.raises(UnknownNameError, match="`per` must be one of: sequence, unit"):
        WithDistance(AscentNLL(), per="token")
    with pytest.raises(ConfigurationError, match="WithDistance compares with the target"):
        WithDistance(AscentNLL()).penalty(ToyClassifier())
    with pytest.raises(ConfigurationError, match="`forget` WithDistance must have the target's weights"):
        WithDistance(AscentNLL()).penalty(ToyClassifier(), lambda: object())


def test_the_data_module_reaches_the_objective():
    bound = []

    class Asking(AscentNLL):
        def bind(self, datamodule):
            bound.append(datamodule)

    WithDistance(Asking()).bind("data")
    AscentNLL().bind("data")
    assert bound == ["data"]
