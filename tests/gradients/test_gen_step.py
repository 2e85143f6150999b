"""GeN's core with plain torch: exact on a quadratic, refused where it must be, start-independent."""

import copy
import itertools
import math
import warnings

import pytest
import torch
from torch import nn

from tests.gradients.gen_toys import OPTIMIZERS, Bowl, bowl, host_for
from unlearnkit.errors import ConfigurationError, UnknownNameError, UnlearnKitWarning
from unlearnkit.gradients.gen_step import GeNCore
from unlearnkit.gradients.probe_loss import plain_loss
from unlearnkit.strategies import FixedWeights, ForgetOnly, NGDiff, RetainOnly
from unlearnkit.testing import ToyClassifier, toy_pair


@pytest.mark.parametrize("probe", ["step", 0.3])
@pytest.mark.parametrize("lr", [1e-2, 1.0])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_exact_on_a_quadratic(name, lr, probe):
    """Each accepted point minimises the retain loss along what the round did, in every round."""
    model, batch = bowl()
    host = host_for(model, OPTIMIZERS[name](model.parameters(), lr))
    twin, _ = bowl()
    free = OPTIMIZERS[name](twin.parameters(), lr)
    shadow = host_for(twin, free)
    gen, strategy, scale = GeNCore(every=1, probe=probe), NGDiff(), 1.0
    for _ in range(6):
        before = model.theta.detach().clone()
        # The twin makes the same round without GeN: its displacement is u, its state stays in step.
        twin.load_state_dict(model.state_dict())
        free.load_state_dict(copy.deepcopy(host.optimizer.state_dict()))
        shadow.lr_scale = host.lr_scale
        strategy.step(shadow, batch)
        u = twin.theta.detach() - before
        gradient = (before - batch["retain"]).mean(0) @ model.curvature
        analytic = float(-gradient @ u / (u @ model.curvature @ u))
        gen.step(strategy, host, batch)
        if analytic <= 0.0:  # Adam's direction may climb: then nothing changes
            assert torch.equal(model.theta.detach(), twin.theta.detach())
            continue
        scale *= analytic
        moved = model.theta.detach() - before
        torch.testing.assert_close(moved, analytic * u, rtol=1e-6, atol=1e-12)
        assert host.lr_scale == pytest.approx(scale, rel=1e-6)
        at_minimum = (model.theta.detach() - batch["retain"]).mean(0) @ model.curvature
        assert abs(float(at_minimum @ u)) < 1e-6 * float(gradient.norm() * u.norm())
    assert gen.fits == 6
    assert gen.fits - sum(gen.refusals.values()) >= 2


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_optimizer_makes_one_step_a_round(name):
    """Probes move neither moments nor counters (AutoGeN's second optimizer step would)."""
    model, batch = bowl()
    host = host_for(model, OPTIMIZERS[name](model.parameters(), 0.1))
    steps = []
    host.optimizer.register_step_post_hook(lambda *_: steps.append(host.round))
    gen = GeNCore(every=2)
    for _ in range(4):
        gen.step(NGDiff(), host, batch)
    assert steps == [0, 1, 2, 3]
    if name == "adamw":
        assert {float(state["step"]) for state in host.optimizer.state.values()} == {4.0}
    assert all(group["lr"] == 0.1 for group in host.optimizer.param_groups)


def test_negative_curvature_is_refused_and_leaves_the_round_as_it_was():
    """The loss falls without end along u: remark 3.1, keep the rate."""
    model, batch = bowl(sign=-1.0)
    model.offset = 100.0
    twin = copy.deepcopy(model)
    host, plain = (host_for(m, torch.optim.SGD(m.parameters(), lr=0.01)) for m in (model, twin))
    gen = GeNCore(every=1, hold="rate", safeguard=False)
    for _ in range(3):
        gen.step(RetainOnly(), host, batch)
        RetainOnly().step(plain, batch)
    assert gen.refusals == {"curvature": 3}
    assert host.lr_scale == 1.0
    assert torch.equal(model.theta.detach(), twin.theta.detach())


def test_pure_ascent_is_refused_before_anything_moves():
    model, batch = bowl()
    host = host_for(model, torch.optim.SGD(model.parameters(), lr=0.1))
    before = model.theta.detach().clone()
    with pytest.raises(ConfigurationError, match=r"`strategy` must have a retain side.*ForgetOnly.*NGDiff"):
        GeNCore().step(ForgetOnly(), host, batch)
    assert torch.equal(model.theta.detach(), before)


def test_a_retain_loss_that_only_rises_is_reported():
    """Forget and retain data are the same, ascent outweighs: L_R rises along every update."""
    model, batch = bowl()
    batch["forget"] = batch["retain"]
    host = host_for(model, torch.optim.SGD(model.parameters(), lr=0.02))
    gen = GeNCore(every=1, hold="rate")
    strategy = FixedWeights(c=0.1)
    for _ in range(4):
        gen.step(strategy, host, batch)
    with pytest.warns(UnlearnKitWarning, match="refused its first 5 fits"):
        gen.step(strategy, host, batch)
    assert gen.refusals == {"slope": 5}
    assert host.lr_scale == 1.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gen.step(strategy, host, batch)  # said once


def test_a_skipped_round_changes_nothing_and_the_first_fit_waits():
    model, batch = bowl()
    host = host_for(model, torch.optim.SGD(model.parameters(), lr=0.0))
    gen = GeNCore(every=10)
    for _ in range(3):
        gen.step(NGDiff(), host, batch)
    assert (gen.fits, gen.first, host.lr_scale, gen.refusals) == (0, True, 1.0, {})
    host.optimizer.param_groups[0]["lr"] = 0.1  # round 3 is no multiple of `every`, and is fitted
    gen.step(NGDiff(), host, batch)
    assert (gen.fits, gen.first) == (1, False)
    assert host.lr_scale != 1.0


def test_fits_come_every_so_many_rounds_and_cost_two_forwards():
    model, batch = bowl()
    host = host_for(model, torch.optim.SGD(model.parameters(), lr=1e-3))
    gen, forwards = GeNCore(every=3, hold="rate", safeguard=False), []
    for _ in range(15):
        counter = Counting(model)
        gen.begin(host, model)
        report = NGDiff().step(host, batch)
        with counter:
            gen.end(host, lambda: plain_loss(host, batch), report.losses["retain"])
        forwards.append(counter.calls)
    # The first two fits check that the round's own loss is L(0); from then on it is used.
    assert forwards == [3, 0, 0, 3, 0, 0, 2, 0, 0, 2, 0, 0, 2, 0, 0]


class Counting:
    """Counts the evaluations of a model's losses inside the block."""

    def __init__(self, model):
        self.model, self.calls = model, 0

    def __enter__(self):
        original = type(self.model).losses

        def losses(batch):
            self.calls += 1
            return original(self.model, batch)

        self.model.losses = losses

    def __exit__(self, *_):
        del self.model.losses


class Dropped(ToyClassifier):
    """A classifier with dropout."""

    def forward(self, batch):
        return self.layer(nn.functional.dropout(batch["inputs"], 0.3, self.training))


def test_a_model_with_dropout_never_lends_its_own_loss():
    model, batch = Dropped(), toy_pair(seed=3)
    host = host_for(model, torch.optim.SGD(model.parameters(), lr=0.1))
    gen = GeNCore(every=1, hold="rate", safeguard=False)
    for r in range(4):
        counter = Counting(model)
        gen.begin(host, model)
        report = NGDiff().step(host, batch)
        before = torch.get_rng_state()
        with counter:
            fit = gen.end(host, lambda: plain_loss(host, batch), report.losses["retain"])
        assert counter.calls == 3
        assert torch.equal(torch.get_rng_state(), before)
        assert fit.parabola.centre != float(report.losses["retain"])
        assert gen.own_loss is False, r
    assert model.training


def test_a_loss_with_noise_of_its_own_sees_the_same_noise_in_every_forward():
    """A diffusion loss draws noise in eval mode, too: without common draws the fit would be noise."""

    class Noisy(Bowl):
        def losses(self, batch):
            return super().losses(batch + torch.randn(batch.shape, dtype=batch.dtype))

    _, batch = bowl()
    quiet, _ = bowl()
    model = Noisy(torch.zeros(6), quiet.curvature)
    host = host_for(model, torch.optim.SGD(model.parameters(), lr=1e-2))
    gen = GeNCore(every=1, hold="rate", safeguard=False)
    for _ in range(5):
        gen.begin(host, model)
        before = model.theta.detach().clone()
        report = NGDiff().step(host, batch)
        u = model.theta.detach() - before
        fit = gen.end(host, lambda: plain_loss(host, batch), report.losses["retain"])
        assert fit.parabola.curvature == pytest.approx(float(u @ model.curvature @ u), rel=1e-6)


def test_group_ratios_and_schedules_are_kept():
    """lr = scheduled x scale in every group and round; the groups' displacements scale alike."""
    model, batch = bowl()
    groups = [{"params": [model.a], "lr": 0.3}, {"params": [model.b], "lr": 0.01}]
    host = host_for(model, torch.optim.SGD(groups))
    schedule = torch.optim.lr_scheduler.LambdaLR(host.optimizer, lambda r: 0.9**r)
    seen = []
    host.optimizer.register_step_pre_hook(lambda o, *_: seen.append([g["lr"] for g in o.param_groups]))
    gen, scale = GeNCore(every=2), 1.0
    for r in range(7):
        gen.step(NGDiff(), host, batch)
        assert seen[r] == pytest.approx([0.3 * 0.9**r * scale, 0.01 * 0.9**r * scale], rel=1e-12)
        assert [g["lr"] for g in host.optimizer.param_groups] == pytest.approx([0.3 * 0.9**r, 0.01 * 0.9**r])
        scale = host.lr_scale
        schedule.step()
    assert scale != 1.0


@pytest.mark.parametrize("hold", ["rate", "length"])
def test_what_is_held_between_fits(hold):
    model, batch = bowl()
    host = host_for(model, torch.optim.SGD(model.parameters(), lr=1e-3))
    strategy = FixedWeights(c=0.9)  # not normalized: `auto` holds the length
    gen = GeNCore(every=4, hold="auto" if hold == "length" else hold)
    gen.attach(strategy)
    lengths, rates = [], []
    host.optimizer.register_step_pre_hook(lambda o, *_: rates.append(o.param_groups[0]["lr"]))
    natural = []
    for _ in range(8):
        before = model.theta.detach().clone()
        gen.begin(host, model)
        report = strategy.step(host, batch)
        natural.append(float((model.theta.detach() - before).norm()))
        gen.end(host, lambda: plain_loss(host, batch), report.losses["retain"])
        lengths.append(float((model.theta.detach() - before).norm()))
    assert rates[1] == rates[2] == rates[3] == rates[4] != rates[0]
    if hold == "length":
        assert lengths[1:4] == pytest.approx([lengths[0]] * 3, rel=1e-9)
        assert lengths[5:] == pytest.approx([lengths[4]] * 3, rel=1e-9)
        assert any(abs(a / b - 1) > 0.05 for a, b in zip(lengths[1:4], natural[1:4], strict=True))
    else:
        assert lengths[1:4] == pytest.approx(natural[1:4], rel=1e-12)
        assert max(lengths[1:4]) > 1.02 * min(lengths[1:4])


def test_auto_needs_to_know_the_strategy():
    model, _ = bowl()
    with pytest.raises(ConfigurationError, match=r"Call attach\(strategy\) first"):
        GeNCore().begin(host_for(model, torch.optim.SGD(model.parameters(), lr=0.1)), model)


def test_normalized_directions_hold_the_rate():
    gen = GeNCore()
    model, batch = bowl()
    gen.attach(NGDiff())
    gen.begin(host := host_for(model, torch.optim.SGD(model.parameters(), lr=0.1)), model)
    NGDiff().step(host, batch)
    gen.end(host, lambda: plain_loss(host, batch))
    gen.begin(host, model)
    assert gen._moved is None  # no copy of the parameters between fits


def test_autogen_takes_a_tenth_of_the_way_on_a_fresh_batch():
    model, batch = bowl()
    _, other = bowl(seed=5)
    other["retain"] = batch["retain"] + 0.01
    host = host_for(model, torch.optim.SGD(model.parameters(), lr=0.05))
    gen = GeNCore(every=1, preset="autogen", safeguard=False)
    factors = []
    for _ in range(3):
        before = host.lr_scale
        gen.step(NGDiff(), host, batch, fresh=other)
        factors.append(host.lr_scale / before)
    assert factors == pytest.approx([1.1, 1.1, 1.1])  # far too short a step: clipped to 2
    long = host_for(model, torch.optim.SGD(model.parameters(), lr=3.0))
    gen = GeNCore(every=1, preset="autogen", safeguard=False)
    gen.step(NGDiff(), long, batch, fresh=other)
    assert long.lr_scale == pytest.approx(0.95)
    assert gen.own_loss_checks == 0  # the round's own loss is another batch's


def test_an_error_in_a_forward_leaves_the_optimizers_point():
    model, batch = bowl()
    twin = copy.deepcopy(model)
    host, plain = (host_for(m, torch.optim.SGD(m.parameters(), lr=0.1)) for m in (model, twin))
    gen, calls = GeNCore(hold="rate"), itertools.count()

    def breaks():
        if next(calls) == 2:
            raise RuntimeError("out of memory")
        return plain_loss(host, batch)

    gen.begin(host, model)
    NGDiff().step(host, batch)
    with pytest.raises(RuntimeError, match="out of memory"):
        gen.end(host, breaks)
    NGDiff().step(plain, batch)
    assert torch.equal(model.theta.detach(), twin.theta.detach())


@pytest.mark.parametrize("hold", ["rate", "length"])
def test_state_makes_a_resumed_run_go_on_with_the_same_bits(trained, hold):
    def rounds(host, gen, n):
        for _ in range(n):
            gen.step(NGDiff(), host, trained[1])

    model = copy.deepcopy(trained[0])
    host = host_for(model, torch.optim.AdamW(model.parameters(), lr=1e-3))
    gen = GeNCore(every=4, hold=hold)
    rounds(host, gen, 6)
    saved = copy.deepcopy((model.state_dict(), host.optimizer.state_dict(), gen.state_dict(), host.round))
    rounds(host, gen, 7)

    other = copy.deepcopy(trained[0])
    resumed = host_for(other, torch.optim.AdamW(other.parameters(), lr=1e-3))
    other.load_state_dict(saved[0])
    resumed.optimizer.load_state_dict(saved[1])
    again = GeNCore(every=4, hold=hold)
    again.load_state_dict(saved[2])
    resumed.round, resumed.lr_scale = saved[3], again.scale
    rounds(resumed, again, 7)
    assert again.state_dict() == gen.state_dict()
    assert resumed.lr_scale == host.lr_scale
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)


def test_bf16_parameters_are_probed_and_come_back():
    model, batch = ToyClassifier(seed=1, dtype=torch.bfloat16), toy_pair(seed=1, dtype=torch.bfloat16)
    host = host_for(model, torch.optim.SGD(model.parameters(), lr=0.5))
    gen = GeNCore(every=1)
    start = float(plain_loss(host, batch)[0])
    for _ in range(6):
        gen.step(NGDiff(), host, batch)
    assert gen.fits == 6
    assert all(p.dtype == torch.bfloat16 and bool(p.isfinite().all()) for p in model.parameters())
    assert float(plain_loss(host, batch)[0]) < start


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"every": 0}, ConfigurationError, "`every` must be 1 or above, in rounds. Found 0"),
        ({"probe": 0.0}, ConfigurationError, "`probe` must be 'step' or a length above 0. Found 0.0"),
        ({"probe": math.nan}, ConfigurationError, "`probe` must be"),
        ({"preset": "autogn"}, UnknownNameError, "Did you mean 'autogen'"),
        ({"hold": "lenght"}, UnknownNameError, "Did you mean 'length'"),
        ({"probe": "stp"}, UnknownNameError, "`probe` must be one of: step"),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        GeNCore(**arguments)
