"""The two base kinds: how many passes they make, and the edge cases they decide."""

from __future__ import annotations

import inspect
import math

import pytest
import torch

from unlearnkit import strategies
from unlearnkit.errors import ConfigurationError, NonFiniteError
from unlearnkit.gradients import Gram, Weights
from unlearnkit.host import PlainHost
from unlearnkit.objectives import NLL, AscentNLL
from unlearnkit.strategies import FixedWeights, GramStrategy, LossStrategy, NGDiff, RoundReport, Strategy
from unlearnkit.strategies.base import (
    lengths,
    require_finite,
    seed_of,
    verdict,
    watched_gram,
    with_stand_in,
    without_vanished,
)
from unlearnkit.testing.host_contract import STRATEGIES
from unlearnkit.testing.toys import ToyClassifier, toy_pair


class CountingHost(PlainHost):
    """A real host that also counts what it is asked for."""

    def __init__(self, model, **settings):
        super().__init__(model, **settings)
        self.forwards = {"retain": 0, "forget": 0}
        self.backwards = 0
        self.steps = 0
        self.observed = []

    def loss(self, side, batch):
        self.forwards[side] += 1
        return super().loss(side, batch)

    def backward(self, loss):
        self.backwards += 1
        return super().backward(loss)

    def apply(self, gradients, side=None):
        self.steps += 1
        super().apply(gradients, side)

    def observe(self, gradients):
        self.observed.append({side: [g.clone() for g in found] for side, found in gradients.items()})


def counting_host(**changes):
    model = ToyClassifier(dtype=torch.float64)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    return CountingHost(model, **({"forget": AscentNLL(), "retain": NLL(), "optimizer": optimizer} | changes))


@pytest.mark.parametrize("name", STRATEGIES)
def test_passes_of_a_round(name):
    """Loss-level: one backward pass. Gram-level: two. One forward for each side that is used."""
    host, strategy = counting_host(), STRATEGIES[name]()
    strategy.step(host, toy_pair(dtype=torch.float64))
    assert host.backwards == (2 if isinstance(strategy, GramStrategy) else 1)
    assert host.forwards == {side: int(side in strategy.sides) for side in ("retain", "forget")}
    assert host.steps == 1


def test_one_sided_strategies_run_no_forward_on_the_other_side():
    """Counted in the model itself, by the size of the batches it sees."""
    for name, own in (("RetainOnly", 6), ("ForgetOnly", 4)):
        host, sizes = counting_host(), []
        host.model.register_forward_pre_hook(
            lambda _, inputs, sizes=sizes: sizes.append(len(inputs[0]["index"]))
        )
        STRATEGIES[name]().step(host, toy_pair(forget=4, retain=6, dtype=torch.float64))
        assert sizes == [own]


def test_the_host_sees_both_gradients_before_they_are_combined_in_place():
    host = counting_host()
    report = NGDiff().step(host, toy_pair(dtype=torch.float64))
    seen = {side: torch.cat([g.flatten() for g in found]) for side, found in host.observed[0].items()}
    assert (seen["retain"] @ seen["retain"]).item() == pytest.approx(report.gram.rr.item())
    assert (seen["forget"] @ seen["forget"]).item() == pytest.approx(report.gram.ff.item())
    assert (seen["retain"] @ seen["forget"]).item() == pytest.approx(report.gram.rf.item())


def test_the_report_holds_values_from_before_the_step_without_a_graph():
    host, batch = counting_host(), toy_pair(dtype=torch.float64)
    before = {side: host.loss(side, batch).item() for side in ("retain", "forget")}
    for strategy in (NGDiff(), FixedWeights(0.5)):
        host = counting_host()
        report = strategy.step(host, batch)
        assert {side: loss.item() for side, loss in report.losses.items()} == before
        assert not any(loss.requires_grad for loss in report.losses.values())
        assert report.skipped is None
        assert (report.gram is not None) == isinstance(strategy, GramStrategy)


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_stops_the_run_before_anything_moves(name, bad):
    class Bad(NLL):
        def forward(self, model, batch, reference=None):
            value = super().forward(model, batch)
            return value._replace(sums=value.sums + bad)

    strategy = STRATEGIES[name]()
    side = strategy.sides[-1]
    host = counting_host(**{side: Bad()})
    host.round = 12
    before = host.model.layer.weight.detach().clone()
    with pytest.raises(NonFiniteError) as error:
        strategy.step(host, toy_pair(dtype=torch.float64))
    assert f"The {side} loss must stay finite." in str(error.value)
    assert "in round 12." in str(error.value)
    assert "Lower the learning rate" in str(error.value)
    assert torch.equal(host.model.layer.weight, before)
    assert host.steps == 0


def test_both_sides_all_masked_is_skipped():
    class Masked(NLL):
        def forward(self, model, batch, reference=None):
            value = super().forward(model, batch)
            return value._replace(sums=value.sums * 0, counts=value.counts * 0)

    for strategy in (NGDiff(), FixedWeights(0.5)):
        host = counting_host(retain=Masked(), forget=Masked())
        report = strategy.step(host, toy_pair(dtype=torch.float64))
        assert report.skipped == "the gradients vanish"
        assert (host.steps, host.round) == (0, 1)


def test_one_side_all_masked_leaves_the_other_side_alone():
    class Masked(AscentNLL):
        def forward(self, model, batch, reference=None):
            value = super().forward(model, batch)
            return value._replace(sums=value.sums * 0, counts=value.counts * 0)

    host = counting_host(forget=Masked())
    report = NGDiff().step(host, toy_pair(dtype=torch.float64))
    assert report.skipped is None
    assert report.weights.forget.item() == 0.0
    assert report.losses["forget"].item() == 0.0
    assert host.steps == 1


# ------------------------------------------------------------------------------------ in pieces


def gram(rr, ff, rf=0.0):
    return Gram(*(torch.tensor(value, dtype=torch.float64) for value in (rr, ff, rf)))


def pair(retain, forget):
    return Weights(torch.tensor(retain, dtype=torch.float64), torch.tensor(forget, dtype=torch.float64))


@pytest.mark.parametrize(
    ("rr", "ff", "kept"),
    [
        (1.0, 1.0, (True, True)),
        (1.0, 0.0, (True, False)),
        (0.0, 1.0, (False, True)),
        (0.0, 0.0, (False, False)),
        (1.0, 1e-20, (True, True)),
        (1.0, 1e-26, (True, False)),
        (1e-26, 1e-26, (True, True)),
        (1e30, 1.0, (True, False)),
    ],
)
def test_vanished_is_relative_to_the_other_gradient(rr, ff, kept):
    found = without_vanished(pair(math.inf, math.inf), gram(rr, ff))
    assert (found.retain.item() > 0, found.forget.item() > 0) == kept


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        ((4.0, 9.0, -5.0), (4.0, 9.0, -5.0)),
        ((4.0, 0.0, 0.0), (4.0, 4.0, 4.0)),
        ((0.0, 9.0, 0.0), (9.0, 9.0, 9.0)),
        ((4.0, 1e-26, 1e-13), (4.0, 4.0, 4.0)),
        ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0)),
    ],
)
def test_a_strategy_sees_an_equal_gradient_in_place_of_one_that_vanished(given, seen):
    found = with_stand_in(gram(*given))
    assert (found.rr.item(), found.ff.item(), found.rf.item()) == seen


@pytest.mark.parametrize(
    ("factor", "weights", "counts"),
    [
        (-3.0, (1.0, 1.0), False),  # -2a: the retain loss would rise
        (-0.5, (1.0, 1.0), True),  # a/2
        (-3.0, (4.0, 1.0), True),  # a
        (-1.0, (0.0, 1.0), False),
        (3.0, (1.0, 1.0), True),
        (3.0, (-1.0, 0.1), True),  # not opposite: the equation is taken at its word
    ],
)
def test_along_opposite_gradients_the_retain_loss_may_fall_only(factor, weights, counts):
    length, orthogonal = lengths(gram(1.0, factor**2, factor), pair(*weights))
    assert (length.item() > 4e-3 * orthogonal.item()) == counts
    assert orthogonal.item() == pytest.approx(math.hypot(weights[0], weights[1] * factor))


def test_the_gram_matrix_of_chosen_parameters():
    retain, forget = [torch.ones(2), torch.ones(3)], [torch.ones(2), -torch.ones(3)]
    found = watched_gram(["body.weight", "head.weight"], "^head", retain, forget)
    assert (found.rr.item(), found.ff.item(), found.rf.item()) == (3.0, 3.0, -3.0)
    with pytest.raises(ConfigurationError, match=r"`layer`.*Found 'tail'.*body\.weight, head\.weight"):
        watched_gram(["body.weight", "head.weight"], "tail", retain, forget)


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (["e.w", "m.layers.0.a.w", "m.layers.9.a.w", "m.layers.10.a.w", "m.layers.10.b.w", "norm.w"], [3, 4]),
        (["0.weight", "0.bias", "2.weight", "2.bias"], [2, 3]),
        (["layer4.0.conv.w", "layer4.1.conv.w", "layer4.1.bn.w", "fc.w", "fc.b"], [1, 2]),
        (["blocks.1.experts.0.w", "blocks.1.experts.3.w"], [0, 1]),
        (["body.w", "head.w", "head.b"], [1, 2]),
        (["theta"], [0]),
    ],
)
def test_the_last_layer_is_the_last_numbered_block(names, chosen):
    retain = [torch.tensor([2.0**place]) for place in range(len(names))]
    found = watched_gram(names, "last", retain, retain)
    assert found.rr.item() == sum(4.0**place for place in chosen)


def test_seeds_are_of_the_whole_key():
    assert len({seed_of(*key) for key in [(1, 23), (12, 3), (123,), (1, 2, 3), (0, 0), (0,)]}) == 6
    assert all(0 <= seed_of(n) < 2**63 for n in range(100))


@pytest.mark.parametrize(
    ("squared", "lengths", "expected"),
    [
        ([1.0, 1.0], [1.0, 1.4], None),
        ([1.0, 0.0], [1.0, 1.0], None),
        ([0.0, 0.0], [0.0, 0.0], "the gradients vanish"),
        ([1.0, 1.0], [0.0, 1.4], "the gradients cancel"),
        ([1.0, 1.0], [5e-3, 1.4], "the gradients cancel"),
        ([1.0, 1.0], [6e-3, 1.4], None),
        ([math.nan, 1.0], [math.nan, math.nan], "non-finite gradient"),
        ([1.0, math.inf], [1.0, 1.0], "non-finite gradient"),
        ([1.0], None, None),
        ([0.0], None, "the gradients vanish"),
        ([math.nan], None, "non-finite gradient"),
    ],
)
def test_verdict(squared, lengths, expected):
    losses = {"retain": torch.tensor(0.5), "forget": torch.tensor(-1e9)}
    as_tensors = [torch.tensor(value, dtype=torch.float64) for value in squared]
    more = None if lengths is None else [torch.tensor(value, dtype=torch.float64) for value in lengths]
    assert verdict(counting_host(), losses, as_tensors, more) == expected


def test_require_finite_passes_what_is_finite():
    require_finite(-1e300, "forget", counting_host())


def test_the_bases_leave_the_equation_to_their_subclasses():
    batch = toy_pair(dtype=torch.float64)
    for kind in (Strategy, LossStrategy, GramStrategy):
        with pytest.raises(NotImplementedError):
            kind().step(counting_host(), batch)


def test_every_exported_strategy_is_tried_with_every_host():
    concrete = {
        name
        for name, value in vars(strategies).items()
        if inspect.isclass(value) and issubclass(value, (LossStrategy, GramStrategy))
    } - {"LossStrategy", "GramStrategy"}
    assert concrete == set(STRATEGIES)


def test_a_new_strategy_is_its_equation():
    """What a reader writes: one class, one method; the base does the rest."""

    class ShorterFirst(GramStrategy):
        def weights(self, gram, losses):
            return Weights(retain=gram.ff, forget=gram.rr)

    host = counting_host()
    report = ShorterFirst().step(host, toy_pair(dtype=torch.float64))
    assert isinstance(report, RoundReport)
    assert report.weights.retain.item() == report.gram.ff.item()
    assert host.steps == 1
