"""ForgetTarget: stops, or holds the forget side, in the round in which the target is reached."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader

from tests.callbacks.runs import TwoLosses, batch_of, fit, fit_plain, flat, module_for, nll_of, rows
from tests.modules.tiny import quiet
from unlearnkit.callbacks import EvaluateEvery, ForgetTarget, GeN
from unlearnkit.datamodules import TOFU
from unlearnkit.datamodules.paired_datasets import PairedDatasets
from unlearnkit.errors import ConfigurationError, DataError, UnknownNameError
from unlearnkit.evaluators import TOFUEvaluator, write
from unlearnkit.models import CausalLM
from unlearnkit.strategies import FixedWeights, ForgetOnly, NGDiff, RetainOnly

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


class Watch(Callback):
    """Note each round's forget loss, whether its forget side was held, and the value seen."""

    def __init__(self) -> None:
        self.losses: dict[int, float] = {0: math.nan}
        self.held: list[bool] = []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.held.append("forget" in pl_module.host.held)

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.losses[trainer.global_step] = nll_of(pl_module.model, "forget")


@pytest.mark.parametrize("every", [1, 3])
def test_it_stops_in_the_first_round_looked_at_in_which_the_loss_reaches_the_target(
    tmp_path: Path, every: int
) -> None:
    watch, target = Watch(), ForgetTarget(target=3.0, every=every)
    trainer = fit(module_for(0.3, ForgetOnly()), 60, [target, watch], tmp_path)
    expected = next(r for r, loss in watch.losses.items() if r and r % every == 0 and loss >= 3.0)
    assert trainer.global_step == target.reached_round == expected < 60
    assert target.value == pytest.approx(watch.losses[expected], rel=1e-6)
    assert watch.losses[expected - every] < 3.0 or expected == every


def test_without_it_the_same_run_goes_on_and_loses_its_utility(tmp_path: Path) -> None:
    """Why it exists: ascent after forgetting is what ruins the retain side."""
    free, stopped = module_for(0.3, ForgetOnly()), module_for(0.3, ForgetOnly())
    fit(free, 60, [], tmp_path)
    fit(stopped, 60, [ForgetTarget(target=3.0, every=1)], tmp_path)
    assert nll_of(stopped.model, "forget") >= 3.0
    assert nll_of(free.model, "retain") > 3 * nll_of(stopped.model, "retain")


@pytest.mark.parametrize("handed", ["callback", "data module"])
def test_unseen_data_are_measured_with_the_current_model(tmp_path: Path, handed: str) -> None:
    class Data(PairedDatasets):
        def unseen_batches(self):
            return [batch_of("unseen")]

    class Both(Watch):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
            self.losses[trainer.global_step] -= nll_of(pl_module.model, "unseen")

    data = Data(rows("forget"), rows("retain"), batch_size=4)
    loader = DataLoader([batch_of("unseen")], batch_size=None) if handed == "callback" else None
    watch, target = Both(), ForgetTarget(every=1, unseen=loader)
    trainer = fit(module_for(0.3, FixedWeights()), 200, [target, watch], tmp_path, data=data)
    expected = next(r for r, gap in watch.losses.items() if gap >= 0)
    assert 1 < expected == trainer.global_step < 200


def test_the_forget_side_is_held_until_the_loss_has_gone_back_beyond_the_margin(tmp_path: Path) -> None:
    watch, target = Watch(), ForgetTarget(target=1.8, action="hold", every=1, margin=0.1)
    module = module_for(0.3, NGDiff())
    fit(module, 150, [target, watch], tmp_path)
    expected, held = [], False
    for round_ in range(1, 150):
        loss = watch.losses[round_]
        held = loss >= 1.8 or (held and loss >= 1.8 * 0.9)
        expected.append(held)
    assert watch.held == [False, *expected]
    assert sum(a != b for a, b in pairwise(watch.held)) >= 3, "it was held, released and held again"
    assert any(h and watch.losses[r] < 1.8 for r, h in enumerate(watch.held)), "the margin was passed through"
    assert target.held_rounds == sum(watch.held)
    assert target.reached_round == watch.held.index(True)
    assert module.host.held == set()


def test_while_it_is_held_the_run_is_that_of_the_retain_side_alone(tmp_path: Path) -> None:
    held = module_for(strategy=FixedWeights(c=0.5), optimizer=lambda p: torch.optim.SGD(p, lr=0.2))
    alone = module_for(strategy=RetainOnly(), optimizer=lambda p: torch.optim.SGD(p, lr=0.1))

    class FromTheStart(ForgetTarget):
        def on_fit_start(self, trainer, pl_module):
            self.held = True

    target = FromTheStart(target=-1.0, action="hold", every=1)
    fit(held, 5, [target], tmp_path)
    fit(alone, 5, [], tmp_path)
    torch.testing.assert_close(flat(held), flat(alone))
    assert target.held_rounds == 5


def test_a_quantity_that_falls(tmp_path: Path) -> None:
    class Probability(TwoLosses):
        def evaluate(self, model, datamodule, reference=None):
            found = super().evaluate(model, datamodule, reference)["summary"]["forget_loss"]
            return {"summary": {"forget_probability": math.exp(-found)}}

    evaluate = EvaluateEvery(Probability(), every=2)
    target = ForgetTarget("eval/forget_probability", target=0.1, every=2)
    trainer = fit(module_for(0.3, ForgetOnly()), 60, [target, evaluate], tmp_path)
    values = {point["round"]: point["forget_probability"] for point in evaluate.path}
    assert target.reached_round == trainer.global_step < 60
    assert values[trainer.global_step] <= 0.1 < values[trainer.global_step - 2]


def test_a_direction_of_ones_own(tmp_path: Path) -> None:
    """The other one: reached where the quantity is below."""
    target = ForgetTarget("eval/forget_loss", target=1e3, every=1, direction="falls")
    trainer = fit(module_for(), 9, [EvaluateEvery(TwoLosses(), every=1), target], tmp_path)
    assert trainer.global_step == target.reached_round == 1


def test_nan_decides_nothing(tmp_path: Path) -> None:
    evaluate = EvaluateEvery(TwoLosses({2: math.nan}), every=1)
    target = ForgetTarget("eval/retain_loss", target=-1.0, direction="falls", every=1)
    fit(module_for(), 3, [evaluate, target], tmp_path)
    assert target.reached_round is None


def test_what_is_logged(tmp_path: Path) -> None:
    target = ForgetTarget(target=0.0, action="hold", every=2)
    logged = fit(module_for(), 5, [target], tmp_path).logged_metrics
    assert float(logged["forget_target/held"]) == target.held_rounds == 3
    assert float(logged["forget_target/value"]) == pytest.approx(target.value)
    assert float(logged["forget_target/target"]) == 0.0


HELD = {"target": 1.8, "action": "hold", "every": 2, "margin": 0.1}


@pytest.mark.parametrize("gen", [False, True])
def test_a_resumed_run_ends_with_the_same_bits(tmp_path: Path, gen: bool) -> None:
    def callbacks() -> list[Any]:
        return [ForgetTarget(**HELD), *([GeN(every=5, safeguard=False)] if gen else [])]

    whole, first = module_for(0.3), callbacks()
    save = ModelCheckpoint(tmp_path, every_n_train_steps=1, save_top_k=-1, filename="{step}")
    fit(whole, 40, [*first, save], tmp_path)
    held = [torch.load(tmp_path / f"step={s}.ckpt", weights_only=True) for s in range(1, 40)]
    states = [next(v for k, v in c["callbacks"].items() if "ForgetTarget" in k)["held"] for c in held]
    assert set(states) == {False, True}
    for stop in (1, states.index(True) + 1, states.index(True) + 2, 30):
        resumed, again = module_for(0.3), callbacks()
        fit(resumed, 40, again, tmp_path, ckpt_path=tmp_path / f"step={stop}.ckpt")
        assert torch.equal(flat(resumed), flat(whole)), stop
        assert again[0].state_dict() == first[0].state_dict()


def test_a_run_that_stopped_makes_no_further_round_when_it_is_resumed(tmp_path: Path) -> None:
    save = ModelCheckpoint(tmp_path, every_n_train_steps=1, filename="{step}")
    stopped, target = module_for(0.3, ForgetOnly()), ForgetTarget(target=3.0, every=1)
    fit(stopped, 60, [target, save], tmp_path)
    resumed, again = module_for(0.3, ForgetOnly()), ForgetTarget(target=3.0, every=1)
    trainer = fit(resumed, 60, [again], tmp_path, ckpt_path=tmp_path / f"step={target.reached_round}.ckpt")
    assert trainer.global_step == target.reached_round == again.reached_round
    assert torch.equal(flat(resumed), flat(stopped))


class Fails(Callback):
    """End a run with an error after some rounds."""

    def __init__(self, rounds: int) -> None:
        self.rounds = rounds

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.global_step == self.rounds:
            raise InterruptedError


@pytest.mark.parametrize("error", [False, True])
def test_a_run_leaves_no_side_held_behind(tmp_path: Path, error: bool) -> None:
    module, watch = module_for(), Watch()
    held = ForgetTarget(target=-1.0, action="hold", every=1)
    if error:
        with pytest.raises(InterruptedError):
            fit(module, 4, [held, Fails(2)], tmp_path)
    else:
        fit(module, 4, [held], tmp_path)
    assert held.held and module.host.held == set()
    fit(module, 3, [watch], tmp_path)
    assert watch.held == [False] * 3


@pytest.mark.parametrize("action", ["stop", "hold"])
def test_a_second_fit_begins_anew(tmp_path: Path, action: Any) -> None:
    """It trained no round at all, because the first one had reached the target."""
    target, watch, again = ForgetTarget(target=1.0, action=action, every=1), Watch(), Watch()
    fit(module_for(0.3), 20, [target, watch], tmp_path)
    first = target.state_dict(), target.value
    assert target.reached_round is not None and target.reached_round > 1
    fit(module_for(0.3), 20, [target, again], tmp_path)
    assert (target.state_dict(), target.value) == first
    assert again.losses[1] == watch.losses[1] and again.held == watch.held


def test_a_run_stops_where_the_forget_set_is_as_unlikely_as_tofu_authors_on_neither_side(
    tmp_path: Path,
) -> None:
    """`target='unseen'` and nothing else: the data module knows whom the model never saw."""
    data = TOFU(
        authors=12, questions=2, retain_authors=6, vocab_size=300, max_length=128, forget_batch_size=2,
        retain_batch_size=2, train_batch_size=3,
    )  # fmt: skip

    class Gap(Callback):
        def __init__(self) -> None:
            self.gaps: list[float] = []

        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            sides = [[data.collate(data.samples("forget"))], data.unseen_batches()]
            self.gaps.append(_nll(pl_module.model, sides[0]) - _nll(pl_module.model, sides[1]))

    module = module_for(strategy=FixedWeights(c=0.5), optimizer=lambda p: torch.optim.AdamW(p, lr=1e-3))
    model = CausalLM(hidden_size=16, layers=1, heads=2, max_length=128)
    module.model = model
    gap, target = Gap(), ForgetTarget(target="unseen", every=1)
    trainer = fit(module, 60, [KnowsForget(data), target, gap], tmp_path, data=data)
    expected = next(round_ for round_, value in enumerate(gap.gaps, 1) if value >= 0)
    assert 1 < expected == target.reached_round == trainer.global_step < 60


class KnowsForget(Callback):
    """Have the model learn the forget set before its first round."""

    def __init__(self, data: TOFU) -> None:
        self.data = data

    def on_train_start(self, trainer, pl_module):
        model, batch = pl_module.model, self.data.collate(self.data.samples("forget"))
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
        for _ in range(20):
            (model.losses(batch).sum() / model.counts(batch).sum()).backward()
            optimizer.step()
            optimizer.zero_grad()


def _nll(model: Any, batches: Any) -> float:
    """Return the mean negative log-likelihood per token, nats."""
    with torch.no_grad():
        found = [
            torch.stack([model.losses(b).double().sum(), model.counts(b).double().sum()]) for b in batches
        ]
    total, count = torch.stack(found).sum(0).tolist()
    return total / count


def test_its_loss_is_the_one_that_the_tofu_evaluator_calls_forget_loss(tmp_path: Path) -> None:
    """Else the retrained reference's evaluation could not be its target."""
    data = TOFU(
        authors=8, questions=3, vocab_size=300, max_length=128, forget_batch_size=2, train_batch_size=2
    )
    module = module_for()
    module.model = CausalLM(hidden_size=16, layers=1, heads=2, max_length=128)
    evaluator = TOFUEvaluator(truth_ratio=False, max_new_tokens=2, sets=["forget"])
    evaluate, target = EvaluateEvery(evaluator, every=1), ForgetTarget(target=100.0, every=1)
    fit(module, 1, [evaluate, target], tmp_path, data=data)
    assert target.value == pytest.approx(evaluate.path[-1]["forget_loss"], rel=1e-5)
    path = tmp_path / "results.json"
    write(evaluator.evaluate(module.model, data), path)
    assert ForgetTarget(target=str(path)).target == json.loads(path.read_text())["summary"]["forget_loss"]


def test_a_name_that_nobody_measures_is_told_with_those_there_are(tmp_path: Path) -> None:
    target = ForgetTarget("eval/forget_los", target=1.0, every=2, direction="rises")
    with pytest.raises(
        UnknownNameError, match="`monitor` must be one of: eval/forget_loss, .*nll.*Did you mean 'eval/f"
    ):
        fit(module_for(), 4, [target, EvaluateEvery(TwoLosses(), every=2)], tmp_path)
    late = ForgetTarget("eval/forget_loss", target=1.0, every=2)
    with pytest.raises(UnknownNameError, match="Found 'eval/forget_loss'"):
        fit(module_for(), 4, [late, EvaluateEvery(TwoLosses(), every=3, at_start=False)], tmp_path)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"every": 0}, ConfigurationError, "`every` must be at least 1 round"),
        ({"margin": -0.1}, ConfigurationError, "`margin` must be 0 or above"),
        ({"margin": math.nan}, ConfigurationError, "`margin` must be 0 or above"),
        ({"action": "pause"}, UnknownNameError, "`action` must be one of: hold, stop"),
        ({"direction": "up"}, UnknownNameError, "`direction` must be one of: falls, rises"),
        ({"monitor": "eval/forget_rouge"}, ConfigurationError, "`unseen` data are for monitor='nll'"),
        ({"target": 1.0, "unseen": []}, ConfigurationError, "`unseen` data are for monitor='nll'"),
        ({"monitor": "loss/forget", "target": 1.0}, ConfigurationError, "`direction` must be given"),
        ({"target": math.nan}, ConfigurationError, "`target` must be a finite number"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        ForgetTarget(**arguments)


def test_pure_ascent_has_nothing_to_go_on_with_while_it_is_held(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigurationError, match="`action='hold'` must come with a strategy that has a retain side"
    ):
        fit(module_for(0.3, ForgetOnly()), 1, [ForgetTarget(target=1.0, action="hold")], tmp_path)


def test_it_needs_forget_samples_and_unseen_data(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigurationError, match="`target='unseen'` needs data .* PairedDatasets has no unseen_batch"
    ):
        fit(module_for(), 1, [ForgetTarget()], tmp_path)
    loader = DataLoader([{side: batch_of(side) for side in ("forget", "retain")}], batch_size=None)
    trainer = Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, callbacks=[ForgetTarget(target=1.0)]
    )
    with pytest.raises(
        ConfigurationError, match="`monitor='nll'` needs the forget samples .* Found NoneType"
    ):
        trainer.fit(module_for(), loader)


def test_it_needs_an_unlearning_module() -> None:
    with pytest.raises(ConfigurationError, match="ForgetTarget only with an UnlearningModule.*Found Plain"):
        fit_plain(ForgetTarget(target=1.0))


def test_two_of_them_keep_their_states_apart() -> None:
    keys = {ForgetTarget(target=1.0).state_key, ForgetTarget(target=1.0, action="hold").state_key}
    assert len(keys) == 2


def test_a_split_without_unseen_authors_is_refused_before_the_first_round():
    data = TOFU(authors=10, questions=3, vocab_size=300, max_length=128)
    module = module_for()
    module.model = CausalLM(hidden_size=16, layers=1, heads=2, max_length=128)
    trainer = quiet(callbacks=[ForgetTarget(target="unseen", every=100)], max_steps=1, max_epochs=-1)
    with pytest.raises(DataError, match=r"`unseen` data must be authors on neither side\. Found none"):
        trainer.fit(module, data)
    assert trainer.global_step == 0
