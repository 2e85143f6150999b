"""GeN from any start: the safeguard, its search, and probes that drown in rounding."""

import copy

import pytest
import torch

from tests.gradients.gen_toys import OPTIMIZERS, Bowl, accuracies, bowl, host_for, unlearn
from unlearnkit.gradients.gen_step import GeNCore
from unlearnkit.gradients.probe_loss import plain_loss
from unlearnkit.strategies import NGDiff

STARTS = [1e-7, 1e-5, 1e-3, 1e-1, 10.0]


@pytest.mark.parametrize("probe", ["step", 0.05])
@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_every_start_rate_becomes_usable(trained, name, probe):
    """Eight decades of start rates end with most of the forget data unlearnt and the retain data kept."""
    for lr in STARTS:
        model, _ = unlearn(trained, lambda p, lr=lr: OPTIMIZERS[name](p, lr), GeNCore(probe=probe), 80)
        forget, retain = accuracies(model, trained[1])
        assert forget <= 0.6, (lr, forget, retain)
        assert retain >= 0.9, (lr, forget, retain)


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_a_fixed_probe_length_is_independent_of_the_start_rate(trained, name):
    """The probes, the fits and so the path do not know the start rate (to fp32's rounding)."""
    ends = []
    for lr in (1e-4, 1e-2):
        decay = {"weight_decay": 0.0} if name == "adamw" else {}
        make = torch.optim.AdamW if name == "adamw" else torch.optim.SGD

        def build(p, lr=lr, decay=decay, make=make):
            return make(p, lr=lr, **decay)

        model, host = unlearn(trained, build, GeNCore(every=5, probe=0.05), rounds=6)
        ends.append((torch.cat([p.detach().flatten() for p in model.parameters()]), lr * host.lr_scale))
    (first, rate), (second, other) = ends
    start = torch.cat([p.detach().flatten() for p in trained[0].parameters()])
    assert float((first - second).norm() / (first - start).norm()) < 0.02
    assert rate == pytest.approx(other, rel=0.02)


def test_without_the_safeguard_the_start_rate_does_its_damage(trained):
    """The reason for the safeguard: at AdamW 1e-1 the first step is taken before a fit can speak."""
    model, _ = unlearn(trained, lambda p: torch.optim.AdamW(p, lr=1.0), GeNCore(safeguard=False), rounds=10)
    assert accuracies(model, trained[1])[1] < 0.9


class Cliff(Bowl):
    """A bowl that overflows away from the origin."""

    def losses(self, batch):
        return torch.where(self.theta.abs().max() > 30.0, torch.inf, super().losses(batch))


def test_an_explosion_later_on_is_searched_out_of():
    """A schedule that jumps makes a later probe overflow: the step is shortened, not taken."""
    quiet, batch = bowl()
    model = Cliff(quiet.theta.detach(), quiet.curvature)
    host = host_for(model, torch.optim.SGD(model.parameters(), lr=0.1))
    gen = GeNCore(every=1)
    gen.step(NGDiff(), host, batch)
    rate = 0.1 * host.lr_scale
    host.optimizer.param_groups[0]["lr"] = 1e3
    before = float(plain_loss(host, batch)[0])
    gen.step(NGDiff(), host, batch)
    assert float(plain_loss(host, batch)[0]) < before
    assert 1e3 * host.lr_scale < 10 * rate
    assert gen.refusals == {}


def two_rounds(trained, factor, rounds=1, **options):
    """One round at a good rate, then some at a rate that a schedule multiplied; return the fits."""
    model, batch = copy.deepcopy(trained[0]), trained[1]
    host = host_for(model, torch.optim.SGD(model.parameters(), lr=0.1))
    gen = GeNCore(every=1, **options)
    gen.step(NGDiff(), host, batch)
    host.optimizer.param_groups[0]["lr"] *= factor
    fits = []
    for _ in range(rounds):
        gen.begin(host, model)
        report = NGDiff().step(host, batch)
        fits.append(gen.end(host, lambda: plain_loss(host, batch), report.losses["retain"]))
    return fits, float(plain_loss(host, batch)[0]), host.optimizer.param_groups[0]["lr"] * host.lr_scale


@pytest.mark.parametrize("factor", [0.02, 50.0])
def test_a_minimum_far_from_the_probes_is_confirmed_nearer_to_it(trained, factor):
    """A schedule that jumps leaves probes where a parabola means little: they are moved first."""
    [fit], loss, _ = two_rounds(trained, factor)
    assert fit.forwards > 3
    assert 0.25 <= fit.multiple / fit.parabola.reach <= 4.0
    promised = fit.parabola.centre - fit.parabola.predict(fit.multiple)
    assert fit.parabola.centre - loss > 0.4 * promised
    [raw], _, _ = two_rounds(trained, factor, safeguard=False)
    assert raw.forwards == 3


def test_a_rate_below_the_noise_does_not_stay_there(trained):
    """Each fit that drowns in rounding makes the next one reach four times further."""
    fits, _, rate = two_rounds(trained, 1e-5, rounds=8)
    heard = next(k for k, fit in enumerate(fits) if fit.parabola.refused is None)
    assert heard >= 2
    assert [fit.parabola.refused for fit in fits[:heard]] == ["noise"] * heard
    assert [fit.parabola.reach for fit in fits[:heard]] == [4.0**k for k in range(heard)]
    assert all(fit.forwards <= 3 for fit in fits if fit.parabola.refused == "noise")
    _, _, usual = two_rounds(trained, 1.0, rounds=8)
    assert rate > 0.1 * usual
