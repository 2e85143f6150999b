"""U2A on the plain host: outer rounds, return to the target, the best weights, and what it refuses."""

from __future__ import annotations

import math

import pytest
import torch

from tests.alignment.bilevel import SAMPLES, Bilevel
from unlearnkit.alignment import GainFilter, GivenSelection, GrowingSelector, MarginalGains, Selection
from unlearnkit.alignment.selectors import uniform
from unlearnkit.errors import ConfigurationError, DataError, MismatchError, NonFiniteError
from unlearnkit.host import PlainHost
from unlearnkit.objectives import NLL, NPO, AscentNLL, NLLAndDistance, WithDistance
from unlearnkit.strategies import U2A, Alternate, FixedWeights, ForgetOnly, RetainOnly

LAM = 4.0


class World:
    """The logistic problem, hosted: full batches, plain gradient descent."""

    def __init__(self, forget=None, lr=0.05):
        self.exact = Bilevel(LAM)
        objective = WithDistance(AscentNLL(), LAM) if forget is None else forget
        sgd = torch.optim.SGD(self.exact.model.parameters(), lr=lr, momentum=0.5)
        self.host = PlainHost(
            self.exact.model,
            forget=objective,
            retain=NLL(),
            optimizer=sgd,
            reference=lambda: self.exact.target,
        )
        self.batch = {"forget": self.exact.all, "retain": self.exact.j.batch}
        self.theta = []

    def epoch(self, strategy, steps=200):
        """Begin an epoch and make its rounds."""
        strategy.begin_epoch(self.host, self.exact.batches)
        self.theta.append(self.exact.model.theta.detach().clone())
        for _ in range(steps):
            strategy.step(self.host, self.batch)


def filtered(**changes):
    return GainFilter(MarginalGains(LAM), **changes)


def u2a(selector=None, inner=None, j=None, **changes):
    world_j = Bilevel(LAM).j if j is None else j
    return U2A(inner or ForgetOnly(), selector or filtered(), world_j, **changes)


def test_rounds_reach_the_exact_solution_of_the_weighted_inner_problem():
    world, strategy = World(), u2a()
    world.epoch(strategy, 400)
    want = Bilevel(LAM).solve(strategy.weights)
    torch.testing.assert_close(world.exact.model.theta.detach(), want, rtol=0, atol=1e-8)


def test_unlearning_what_helps_helps_and_the_opposite_hurts():
    class Opposite(GainFilter):
        def first(self, rows, gains):
            return super().first(rows, -gains)

    ends = {}
    for name, selector in {"filter": filtered(), "opposite": Opposite(MarginalGains(LAM))}.items():
        world = World()
        start = world.exact.j.value(world.exact.model)
        world.epoch(u2a(selector, rounds=1))
        ends[name] = world.exact.j.value(world.exact.model)
    assert ends["opposite"] < start < ends["filter"]


def test_every_outer_round_starts_at_the_target_with_an_empty_optimizer():
    world, strategy = World(), u2a(rounds=3, delta=-1e9)
    for _ in range(4):
        strategy.begin_epoch(world.host, world.exact.batches)
        assert torch.equal(world.exact.model.theta, world.exact.start)
        assert not world.host.optimizer.state
        strategy.step(world.host, world.batch)
    assert [record["round"] for record in strategy.history] == [0, 1, 2, 3]
    assert strategy.finished


def test_a_warm_start_goes_on_and_the_end_starts_at_the_target():
    world, strategy = World(), u2a(rounds=2, delta=-1e9, warm_start=True)
    world.epoch(strategy, 5)
    reached = world.exact.model.theta.detach().clone()
    world.epoch(strategy, 5)
    assert torch.equal(world.theta[1], reached)
    world.epoch(strategy, 5)
    assert torch.equal(world.theta[2], world.exact.start)


def test_gains_of_later_rounds_are_those_where_the_weights_led():
    world = World()
    strategy = u2a(rounds=2, delta=-1e9)
    world.epoch(strategy, 50)
    reached, weights = world.exact.model.theta.detach().clone(), strategy.weights
    world.epoch(strategy, 1)
    there = Bilevel(LAM)
    with torch.no_grad():
        there.model.theta.copy_(reached)
    want = MarginalGains(LAM)(there.problem, there.gradient(), weights)
    assert torch.equal(strategy.gains, want)
    assert strategy.history[1]["J"] == there.j.value(there.model)
    assert strategy.history[1]["distance"] == pytest.approx((reached - there.start).norm().item())


class Staged:
    """J that says in each outer round what it is told to; its gradient is the problem's."""

    def __init__(self, values):
        self.values = values
        self.asked = []
        self.inner = Bilevel(LAM).j

    def at(self, round_):
        self.asked.append(round_)
        self.round = round_

    def value(self, model):
        return self.values[self.round]

    def gradient(self, model):
        return self.inner.gradient(model)


def test_the_search_stops_when_g_falls_no_more_and_takes_the_best():
    """Penalty-free: g = -J. After round 3 it fell by too little; round 2's weights had the lowest g."""
    world, j = World(), Staged([0.0, 0.5, 1.0, 0.9, 2.0])
    strategy = u2a(GrowingSelector(4, 2, MarginalGains(LAM), regulariser="none"), j=j, rounds=10)
    seen = []
    for _ in range(4):
        world.epoch(strategy, 2)
        seen.append(strategy.weights)
    assert j.asked == [0, 1, 2, 3]
    assert [record["g"] for record in strategy.history] == [0.0, -0.5, -1.0, -0.9]
    assert [int((weights > 0).sum()) for weights in seen] == [4, 6, 8, 6]
    assert torch.equal(strategy.weights, seen[1])
    assert strategy.finished


def test_a_fall_of_delta_and_no_more_stops():
    for delta, stops in ((0.25, False), (0.5, True)):
        world, j = World(), Staged([0.0, 0.0, 0.5, 1.0])
        strategy = u2a(GrowingSelector(4, 2, MarginalGains(LAM), regulariser="none"), j=j, delta=delta)
        for _ in range(3):
            world.epoch(strategy, 1)
        assert bool(strategy.final) == stops


def test_final_epochs_keep_the_weights_and_go_on():
    world, strategy = World(), u2a(rounds=1, final_epochs=2)
    world.epoch(strategy, 3)
    assert not strategy.finished
    weights, reached = strategy.weights, world.exact.model.theta.detach().clone()
    world.epoch(strategy, 3)
    assert strategy.finished
    assert torch.equal(strategy.weights, weights)
    assert torch.equal(world.theta[1], reached)


def test_the_paper_s_settings_run_and_the_history_tells_what_happened():
    world = World()
    strategy = u2a(GrowingSelector(8, 4, MarginalGains(LAM)), rounds=3, delta=-1e9)
    for _ in range(4):
        world.epoch(strategy, 20)
    record = strategy.history[2]
    assert list(record) == ["round", "g", "J", "penalty", "size", "ess", "largest", "distance"]
    assert [one["size"] for one in strategy.history] == [0, 8, 12, 16]
    assert record["g"] == pytest.approx(record["penalty"] - record["J"])
    assert 1 <= record["ess"] <= 12
    assert strategy.readings["ess"] == pytest.approx(strategy.selection.ess)


def test_retain_steps_are_not_weighed():
    """FixedWeights is GradDiff: the retain loss stays what it is."""
    world, strategy = World(), u2a(inner=FixedWeights(c=0.7))
    strategy.begin_epoch(world.host, world.exact.batches)
    report = strategy.step(world.host, world.batch)
    bare = Bilevel(LAM)
    assert report.losses["retain"].item() == pytest.approx(bare.model.losses(bare.j.batch).mean().item())
    weighed = (strategy.weights * -bare.model.losses(bare.all)).sum()
    assert report.losses["forget"].item() == pytest.approx(weighed.item(), rel=1e-12)


def test_npo_selects_what_gradient_ascent_selects_at_the_target():
    chosen = {}
    for objective in (AscentNLL(), NPO()):
        world = World(WithDistance(objective, LAM))
        strategy = u2a()
        strategy.begin_epoch(world.host, world.exact.batches)
        chosen[type(objective).__name__] = strategy.selection
    assert torch.equal(chosen["NPO"].indices, chosen["AscentNLL"].indices)
    torch.testing.assert_close(chosen["NPO"].weights, chosen["AscentNLL"].weights, rtol=1e-7, atol=1e-9)


def test_a_given_selection_needs_no_aim(tmp_path):
    world = World(AscentNLL())
    uniform(world.exact.problem.rows).save(tmp_path / "all.json")
    strategy = U2A(ForgetOnly(), GivenSelection(tmp_path / "all.json"))
    strategy.begin_epoch(world.host, world.exact.batches)
    assert strategy.finished
    assert strategy.step(world.host, world.batch).losses["forget"].item() == pytest.approx(
        -Bilevel(LAM).model.losses(world.exact.all).mean().item()
    )


def test_weights_are_saved_as_a_file(tmp_path):
    world, strategy = World(), u2a()
    with pytest.raises(ConfigurationError, match="`begin_epoch` must be called before weights are saved"):
        strategy.save(tmp_path / "s.json")
    world.epoch(strategy, 1)
    strategy.save(tmp_path / "s.json")
    found = Selection.load(tmp_path / "s.json")
    assert torch.equal(found.of(world.exact.problem.rows), strategy.weights)
    assert torch.equal(found.gains, strategy.gains)


def test_a_resumed_search_ends_with_the_same_bits():
    def run(stop):
        world, strategy = World(), u2a(GrowingSelector(8, 4, MarginalGains(LAM)), rounds=3, delta=-1e9)
        for epoch in range(4):
            strategy.begin_epoch(world.host, world.exact.batches)
            for step in range(3):
                if (epoch, step) == stop:
                    again = u2a(GrowingSelector(8, 4, MarginalGains(LAM)), rounds=3, delta=-1e9)
                    again.remember(Bilevel(LAM).model)
                    again.load_state_dict(strategy.state_dict())
                    strategy = again
                    world.host.sample_weights = None
                strategy.step(world.host, world.batch)
        return strategy, world

    whole, world = run(None)
    for stop in ((0, 0), (1, 2), (2, 1), (3, 1)):
        strategy, other = run(stop)
        assert torch.equal(strategy.weights, whole.weights)
        assert torch.equal(other.exact.model.theta, world.exact.model.theta)
        assert strategy.history == whole.history


def test_a_resume_from_another_target_is_refused():
    world, strategy = World(), u2a()
    world.epoch(strategy, 1)
    again = u2a()
    other = Bilevel(LAM).model
    other.theta.data += 1e-12
    again.remember(other)
    with pytest.raises(MismatchError, match="target that the resumed run started from"):
        again.load_state_dict(strategy.state_dict())


@pytest.mark.parametrize("objective", [NLL(), NLLAndDistance(alpha=LAM)])
def test_an_objective_to_keep_is_refused_with_the_sign_trap(objective):
    world = World(objective)
    with pytest.raises(
        ConfigurationError, match=r"made for the retain side.*sign of every gain is wrong.*AscentNLL"
    ):
        u2a().begin_epoch(world.host, world.exact.batches)


def test_two_lambdas_are_refused():
    world = World(WithDistance(AscentNLL(), 1.0))
    with pytest.raises(ConfigurationError, match=r"`alpha`.*lambda of the gains, 4.0. Found 1.0"):
        u2a().begin_epoch(world.host, world.exact.batches)


def test_bad_candidates_are_refused():
    world = World()
    bare = {name: value for name, value in world.exact.all.items() if name != "index"}
    world.exact.model.counts = lambda batch: (batch["inputs"][:, 0] > -1).long()
    with pytest.raises(DataError, match="must have a response each.*Found none in row 1"):
        u2a().begin_epoch(world.host, world.exact.batches)
    del world.exact.model.counts
    for batches, message in (
        ([], "Found none"),
        ([bare], "`index`"),
        ([world.exact.all] * 2, "Found 24 repeated"),
    ):
        with pytest.raises(DataError, match=message):
            u2a().begin_epoch(world.host, batches)
    with pytest.raises(ConfigurationError, match=f"number of candidates, {SAMPLES}. Found 25"):
        u2a(GrowingSelector(25, gains=MarginalGains(LAM))).begin_epoch(world.host, world.exact.batches)
    strategy = u2a()
    strategy.begin_epoch(world.host, world.exact.batches)
    with pytest.raises(MismatchError, match="the same 24 rows in every outer round. Found 7 rows"):
        strategy.begin_epoch(world.host, world.exact.batches[:1])


def test_an_aim_that_is_not_finite_is_refused():
    world = World()
    with pytest.raises(
        NonFiniteError, match="`alignment` must have a finite value. Found nan after outer round 0"
    ):
        u2a(j=Staged([math.nan])).begin_epoch(world.host, world.exact.batches)


def test_rounds_before_the_first_epoch_are_refused():
    world = World()
    with pytest.raises(ConfigurationError, match="`begin_epoch` must be called before the first round"):
        u2a().step(world.host, world.batch)


def test_bad_arguments_are_refused():
    for name in ("rounds", "final_epochs"):
        with pytest.raises(ConfigurationError, match=f"`{name}` must be 1 or above. Found 0"):
            u2a(**{name: 0})
    with pytest.raises(ConfigurationError, match="`delta` must be a number. Found nan"):
        u2a(delta=math.nan)
    with pytest.raises(ConfigurationError, match="`inner` must have a forget side.*Found RetainOnly"):
        u2a(inner=RetainOnly())
    with pytest.raises(ConfigurationError, match="`alignment` must be given.*GainFilter needs gains"):
        U2A(ForgetOnly(), GainFilter())


def test_it_is_what_its_inner_strategy_is():
    strategy = u2a(inner=Alternate(mode="pass"))
    assert (strategy.sides, strategy.by_side, strategy.normalized) == (Alternate.sides, True, False)
    assert strategy.turns(3, {"forget": 1, "retain": 2}) == Alternate(mode="pass").turns(
        3, {"forget": 1, "retain": 2}
    )
    assert not u2a(inner=FixedWeights()).by_side
