"""CollapseGuard: a run that runs away goes back to its last healthy state and on from there, slower."""

from __future__ import annotations

import logging
import math
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import DataLoader

from tests.callbacks.runs import Points, TwoLosses, batch_of, fit, fit_plain, flat, module_for, nll_of
from tests.modules.tiny import flat as flat_of
from tests.modules.tiny import loader, pairs, quiet, tiny_lm
from unlearnkit.callbacks import CollapseGuard, EvaluateEvery, GeN
from unlearnkit.errors import ConfigurationError, NonFiniteError, UnknownNameError
from unlearnkit.modules import UnlearningModule
from unlearnkit.strategies import FixedWeights, ForgetOnly, NGDiff
from unlearnkit.testing import AlternatingStub

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def test_with_the_guard_the_retain_loss_stays_and_without_it_runs_away(tmp_path: Path) -> None:
    free, guarded, guard = (
        module_for(1.0, ForgetOnly()),
        module_for(1.0, ForgetOnly()),
        CollapseGuard(every=1),
    )
    fit(free, 40, [], tmp_path, size=24)
    trainer = fit(guarded, 40, [guard], tmp_path, size=24)
    assert nll_of(free.model, "retain") > 20
    assert nll_of(guarded.model, "retain") <= 3.0 * 0.5
    assert guard.rollbacks == guard.max_rollbacks + 1, "ascent alone runs away at any rate: it gave up"
    assert trainer.global_step == guard.history[-1]["round"] < 40


def test_a_language_model_at_far_too_large_a_rate_is_saved_by_it() -> None:
    """At the lower rate the rounds go on to the end."""
    data = pairs(16)

    def run(callbacks: list[Callback]) -> tuple[float, UnlearningModule]:
        module = UnlearningModule(
            tiny_lm(), strategy=FixedWeights(c=0.5), optimizer=lambda p: torch.optim.AdamW(p, lr=3.0)
        )
        quiet(callbacks=callbacks).fit(module, loader(data))
        with torch.no_grad():
            sums = torch.stack(
                [
                    torch.stack([module.model.losses(b).sum(), module.model.counts(b).sum()])
                    for b in _retain(data)
                ]
            )
        total, count = sums.sum(0).tolist()
        return total / count, module

    guard = CollapseGuard(every=1, retain_factor=1.2, norm_factor=None, lr_factor=0.1, max_rollbacks=5)
    lost, _ = run([])
    kept, module = run([guard])
    assert lost > 3 * kept
    assert kept < math.log(23) * 1.2
    assert 1 <= guard.rollbacks <= 5
    assert module.host.round == 16
    assert guard.state_dict()["scale"] == pytest.approx(0.1**guard.rollbacks)


def _retain(data: list[dict[str, Any]]) -> list[dict[str, torch.Tensor]]:
    return [pair["retain"] for pair in data]


@pytest.mark.parametrize("every", [1, 3])
def test_it_goes_back_to_the_last_healthy_state_bit_for_bit(tmp_path: Path, every: int) -> None:
    points, guard = Points(), CollapseGuard(every=every, norm_factor=None, lr_factor=0.25)
    module = module_for(1.0, ForgetOnly())
    start = flat(module)
    fit(module, 40, [points, guard], tmp_path)
    assert guard.rollbacks > 1
    for entry in guard.history:
        assert entry["round"] % every == 0 and entry["to"] < entry["round"]
        before = points.points[entry["to"]] if entry["to"] else start
        assert torch.equal(points.points[entry["round"]], before)
        assert "The retain loss is" in entry["reason"]
    assert guard.state_dict()["scale"] == 0.25**guard.rollbacks


def test_the_state_of_the_optimizer_goes_back_too(tmp_path: Path) -> None:
    """From the same point the same round follows, at the lower rate: the momentum is that of then."""

    class Momentum(Callback):
        def __init__(self) -> None:
            self.found: dict[int, torch.Tensor] = {}

        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            state = trainer.optimizers[0].state
            self.found[trainer.global_step] = torch.cat(
                [
                    state[p]["momentum_buffer"].flatten().clone()
                    for p in pl_module.host.parameters
                    if state.get(p)
                ]
                or [torch.zeros(1)]
            )

    momentum, guard = Momentum(), CollapseGuard(every=1)
    fit(module_for(1.0, ForgetOnly()), 40, [momentum, guard], tmp_path)
    first = guard.history[0]
    assert first["to"] > 0
    assert torch.equal(momentum.found[first["round"]], momentum.found[first["to"]])


def test_a_strategys_buffers_go_back_too(tmp_path: Path) -> None:
    class Means(Callback):
        def __init__(self) -> None:
            self.found: dict[int, torch.Tensor] = {}

        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            self.found[trainer.global_step] = pl_module.strategy.means.clone()

    means, guard = Means(), CollapseGuard(every=1, against="last", retain_factor=1.3, floor=0.1)
    fit(module_for(1.0, AlternatingStub(5, 0)), 40, [means, guard], tmp_path)
    first = guard.history[0]
    assert first["to"] > 0
    assert torch.equal(means.found[first["round"]], means.found[first["to"]])


def test_a_norm_that_runs_away_is_seen_whatever_the_loss_may_do(tmp_path: Path) -> None:
    guard = CollapseGuard(every=1, retain_factor=1e30, norm_factor=1.5)
    module = module_for(100.0, ForgetOnly())
    norm = flat(module).norm()
    fit(module, 20, [guard], tmp_path)
    assert all("The norm of the parameters is" in entry["reason"] for entry in guard.history)
    assert guard.rollbacks == 4
    assert flat(module).norm() <= 1.5 * norm


class Poison(Callback):
    """Break the model before a round, as a bad batch or a bug would."""

    def __init__(self, *rounds: int, value: float = math.nan) -> None:
        self.rounds, self.value = rounds, value

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_step in self.rounds:
            with torch.no_grad():
                pl_module.model.layer.bias.fill_(self.value)


@pytest.mark.parametrize("strategy", [ForgetOnly, NGDiff, lambda: AlternatingStub(2, 1)])
def test_a_loss_that_is_not_finite_within_a_round_does_not_end_the_run(tmp_path: Path, strategy: Any) -> None:
    with pytest.raises(NonFiniteError, match="in round 3"):
        fit(module_for(0.01, strategy()), 8, [Poison(3)], tmp_path)
    points, guard, module = Points(), CollapseGuard(every=2), module_for(0.01, strategy())
    trainer = fit(module, 8, [points, guard, Poison(3)], tmp_path)
    assert [(e["round"], e["to"]) for e in guard.history] == [(4, 2)]
    assert "loss must stay finite. Found nan in round 3." in guard.history[0]["reason"]
    assert torch.equal(points.points[4], points.points[2])
    assert trainer.global_step == module.host.round == 8
    assert module.skipped_rounds == 1
    assert flat(module).isfinite().all()


def test_a_batch_that_is_broken_is_no_measure_of_the_state_that_was_put_back(tmp_path: Path) -> None:
    """The checkpoint of that round is written: the module looks at its loss on no batch at all."""

    class Broken(Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            if trainer.global_step == 2:
                batch["forget"]["inputs"].fill_(math.nan)

    save = ModelCheckpoint(tmp_path, every_n_train_steps=1, save_top_k=-1, filename="{step}")
    guard, points = CollapseGuard(every=1), Points()
    fit(module_for(0.05), 5, [save, guard, points, Broken()], tmp_path)
    assert [(entry["round"], entry["to"]) for entry in guard.history] == [(3, 2)]
    assert torch.equal(points.points[3], points.points[2])
    assert len(list(tmp_path.glob("*.ckpt"))) == 5


def test_a_schedule_that_follows_the_loss_passes_over_a_round_that_broke(tmp_path: Path) -> None:
    module = module_for(0.01, scheduler=lambda o: ReduceLROnPlateau(o))
    trainer = fit(module, 5, [CollapseGuard(every=1), Poison(2)], tmp_path)
    assert trainer.global_step == 5


class Calls(TorchDispatchMode):
    """Count the waits for a number of the device, and the dot products that a norm is made of."""

    def __init__(self) -> None:
        super().__init__()
        self.counts = {torch.ops.aten._local_scalar_dense.default: 0, torch.ops.aten.dot.default: 0}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func in self.counts:
            self.counts[func] += 1
        return func(*args, **(kwargs or {}))


def test_a_round_that_is_not_looked_at_costs_nothing(tmp_path: Path) -> None:
    """No wait for the device and no pass over the parameters, which at every round would be felt."""

    def calls(rounds: int, *guard: CollapseGuard) -> list[int]:
        with Calls() as found:
            fit(module_for(0.01, ForgetOnly()), rounds, [*guard], tmp_path)
        return list(found.counts.values())

    def per_round(guarded: bool) -> list[int]:
        fewer, more = (calls(r, *([CollapseGuard(every=5)] if guarded else [])) for r in (1, 4))
        return [b - a for a, b in zip(fewer, more, strict=True)]

    assert per_round(guarded=True) == per_round(guarded=False)
    once, twice = (calls(rounds, CollapseGuard(every=5))[1] for rounds in (4, 5))
    assert twice > once, "it counts what a look costs"


def test_after_the_run_nobody_stands_by(tmp_path: Path) -> None:
    module = module_for(0.01)
    fit(module, 2, [CollapseGuard(every=1)], tmp_path)
    assert module.guard is None
    with pytest.raises(NonFiniteError):
        fit(module, 4, [Poison(0)], tmp_path)


@pytest.mark.parametrize("error", [False, True])
def test_the_rate_is_put_back_after_the_run(tmp_path: Path, error: bool) -> None:
    class Fails(Callback):
        def on_train_end(self, trainer, pl_module):
            if error:
                raise InterruptedError

    module, guard = module_for(1.0, ForgetOnly()), CollapseGuard(every=1)
    with pytest.raises(InterruptedError) if error else nullcontext():
        fit(module, 40, [guard, Fails()], tmp_path)
    assert guard.rollbacks > 0
    assert module.host.lr_scale == 1.0
    module.host.lr_scale = 0.5
    fit(module, 2, [CollapseGuard(every=1)], tmp_path)
    assert module.host.lr_scale == 0.5, "whatever it was before"


def test_a_second_fit_begins_anew(tmp_path: Path) -> None:
    """It was compared with the start of the first one, and had used up its returns."""
    guard, fresh = CollapseGuard(every=1, max_rollbacks=1), CollapseGuard(every=1, max_rollbacks=1)
    fit(module_for(1.0, ForgetOnly()), 40, [guard], tmp_path)
    assert guard.rollbacks == 2
    once, again = module_for(0.3, ForgetOnly()), module_for(0.3, ForgetOnly())
    with torch.no_grad():
        for module in (once, again):
            for parameter in module.model.parameters():
                parameter.mul_(0.1)
    fit(again, 20, [guard], tmp_path)
    fit(once, 20, [fresh], tmp_path)
    assert guard.state_dict() == fresh.state_dict()
    assert torch.equal(flat(again), flat(once))


def test_a_checkpoint_saved_after_the_run_has_the_kept_state(tmp_path: Path) -> None:
    """Resumed, it goes back to the state from before the first run's end."""

    def callbacks() -> list[Any]:
        return [CollapseGuard(every=4), Poison(6)]

    whole, stopped, resumed = (module_for(0.05) for _ in range(3))
    first, again = callbacks(), callbacks()
    fit(whole, 10, first, tmp_path)
    fit(stopped, 6, callbacks(), tmp_path).save_checkpoint(tmp_path / "end.ckpt")
    fit(resumed, 10, again, tmp_path, ckpt_path=tmp_path / "end.ckpt")
    assert [(entry["round"], entry["to"]) for entry in again[0].history] == [(7, 4)]
    assert first[0].history == again[0].history
    assert torch.equal(flat(whole), flat(resumed))


def test_it_leaves_a_healthy_run_as_it_is(tmp_path: Path) -> None:
    plain, guarded, guard = module_for(0.05), module_for(0.05), CollapseGuard(every=1)
    fit(plain, 10, [], tmp_path)
    fit(guarded, 10, [guard], tmp_path)
    assert torch.equal(flat(plain), flat(guarded))
    assert (guard.rollbacks, guarded.host.lr_scale) == (0, 1.0)


def test_after_the_last_return_it_stops_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    guard, module = CollapseGuard(every=1, max_rollbacks=0), module_for(5.0, ForgetOnly())
    with caplog.at_level(logging.WARNING, "unlearnkit"):
        trainer = fit(module, 40, [guard], tmp_path)
    assert guard.rollbacks == 1
    assert trainer.global_step == guard.history[0]["round"]
    assert "training stops, this was the last return (`max_rollbacks=0`)" in caplog.text


def test_what_is_logged(tmp_path: Path) -> None:
    guard, module = CollapseGuard(every=1), module_for(0.05)
    logged = fit(module, 3, [guard], tmp_path).logged_metrics
    assert float(logged["guard/rollbacks"]) == 0
    assert float(logged["guard/parameter_norm"]) == pytest.approx(float(flat(module).norm()))
    assert 0 < float(logged["guard/retain_loss"]) < 1


def test_against_the_last_state_a_slow_drift_passes(tmp_path: Path) -> None:
    limits = {"every": 1, "retain_factor": 1.5, "floor": 0.2, "norm_factor": None, "max_rollbacks": 0}
    drift, start = CollapseGuard(**limits, against="last"), CollapseGuard(**limits)
    drifted, kept = module_for(0.1, ForgetOnly()), module_for(0.1, ForgetOnly())
    assert fit(drifted, 100, [drift], tmp_path, size=24).global_step == 100
    assert fit(kept, 100, [start], tmp_path, size=24).global_step < 100
    assert nll_of(drifted.model, "retain") > 3 * nll_of(kept.model, "retain")


def test_gens_own_scale_is_lowered_with_the_rate(tmp_path: Path) -> None:
    """Else its next `on_train_batch_end` would put the old rate back."""

    class Scales(Callback):
        def __init__(self, gen: GeN) -> None:
            self.gen, self.found = gen, {}

        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            self.found[trainer.global_step] = (
                pl_module.host.lr_scale,
                self.gen.core.scale,
                self.gen.core.held,
            )

    for strategy in (NGDiff(), FixedWeights(c=0.5)):  # the rate is held between fits, and the length
        gen, guard = GeN(every=1000), CollapseGuard(every=1, lr_factor=0.5)
        scales, points = Scales(gen), Points()
        fit(module_for(0.05, strategy), 6, [gen, guard, scales, points, Poison(3)], tmp_path)
        assert guard.rollbacks == 1
        before, after = scales.found[3], scales.found[4]
        assert after == tuple(value / 2 for value in before)
        assert scales.found[6] == after
        moved = [(points.points[r] - points.points[r - 1]).norm() for r in (3, 5)]
        assert moved[1] < 0.75 * moved[0]


def test_a_resumed_run_ends_with_the_same_bits(tmp_path: Path) -> None:
    """Also where the resumed run goes back to a state from before its checkpoint."""
    options = {"every": 4, "lr_factor": 0.25, "max_rollbacks": 8}
    for gen in (False, True):
        folder = tmp_path / str(gen)
        strategy = NGDiff if gen else ForgetOnly

        def callbacks(gen: bool = gen) -> list[Any]:
            return [CollapseGuard(**options), Poison(10), *([GeN(every=5)] if gen else [])]

        whole, first = module_for(0.7, strategy()), callbacks()
        save = ModelCheckpoint(folder, every_n_train_steps=1, save_top_k=-1, filename="{step}")
        fit(whole, 16, [*first, save], tmp_path)
        returns = {entry["round"]: entry["to"] for entry in first[0].history}
        assert returns.get(11) == 8
        for stop in (3, 9, 11, 13):
            resumed, again = module_for(0.7, strategy()), callbacks()
            fit(resumed, 16, again, tmp_path, ckpt_path=folder / f"step={stop}.ckpt")
            assert torch.equal(flat(resumed), flat(whole)), stop
            assert again[0].state_dict() == first[0].state_dict()
            assert first[0].rollbacks > 0


def test_evaluations_and_checkpoints_of_that_round_see_the_healthy_state(tmp_path: Path) -> None:
    points, guard = Points(), CollapseGuard(every=1)
    evaluate = EvaluateEvery(TwoLosses(), every=1)
    save = ModelCheckpoint(tmp_path, every_n_train_steps=1, save_top_k=-1, filename="{step}")
    fit(module_for(0.05), 5, [save, evaluate, Poison(3), points, guard], tmp_path)
    values = {point["round"]: point["retain_loss"] for point in evaluate.path}
    assert guard.history[0]["round"] == 4 and values[4] == values[3]
    saved = torch.load(tmp_path / "step=4.ckpt", weights_only=True)["state_dict"]
    assert torch.equal(
        torch.cat([saved[f"model.layer.{n}"].flatten() for n in ("weight", "bias")]), points.points[3]
    )


def test_micro_batches(tmp_path: Path) -> None:
    data = [{side: [batch, batch] for side, batch in pair.items()} for pair in pairs(4)]
    one, parts = CollapseGuard(every=1), CollapseGuard(every=1)
    modules = [UnlearningModule(tiny_lm(), optimizer=lambda p: torch.optim.SGD(p, lr=0.01)) for _ in range(2)]
    quiet(callbacks=[one]).fit(modules[0], loader(pairs(4)))
    quiet(callbacks=[parts]).fit(modules[1], loader(data))
    losses = [guard.state_dict()["healthy"]["last"]["loss"] for guard in (one, parts)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    torch.testing.assert_close(flat_of(modules[0].model), flat_of(modules[1].model))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"every": 0}, ConfigurationError, "`every` must be at least 1 round"),
        ({"retain_factor": 1.0}, ConfigurationError, "`retain_factor` must be finite and above 1"),
        ({"retain_factor": math.inf}, ConfigurationError, "`retain_factor` must be finite and above 1"),
        ({"norm_factor": 0.5}, ConfigurationError, "`norm_factor` must be finite and above 1"),
        ({"floor": -1.0}, ConfigurationError, "`floor` must be 0 or above"),
        ({"floor": math.nan}, ConfigurationError, "`floor` must be 0 or above"),
        ({"lr_factor": 0.0}, ConfigurationError, "`lr_factor` must be above 0 and at most 1"),
        ({"lr_factor": 2.0}, ConfigurationError, "`lr_factor` must be above 0 and at most 1"),
        ({"max_rollbacks": -1}, ConfigurationError, "`max_rollbacks` must be 0 or above"),
        ({"against": "first"}, UnknownNameError, "`against` must be one of: last, start"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        CollapseGuard(**arguments)


def test_a_model_that_is_broken_from_the_start_is_refused(tmp_path: Path) -> None:
    module = module_for()
    with torch.no_grad():
        module.model.layer.bias.fill_(math.nan)
    with pytest.raises(NonFiniteError, match="must be finite before round 0. Found nan"):
        fit(module, 1, [CollapseGuard()], tmp_path)
    assert module.guard is None


def test_it_needs_a_retain_batch() -> None:
    module = module_for(0.1, ForgetOnly())
    trainer = Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, callbacks=[CollapseGuard()]
    )
    with pytest.raises(ConfigurationError, match="`batch` must have a retain side"):
        trainer.fit(module, DataLoader([{"forget": batch_of("forget")}], batch_size=None))


def test_it_needs_an_unlearning_module() -> None:
    with pytest.raises(ConfigurationError, match="CollapseGuard only with an UnlearningModule.*Found Plain"):
        fit_plain(CollapseGuard())
