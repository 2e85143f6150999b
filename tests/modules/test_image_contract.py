"""Image classifiers in one process: micro-batches, probes, stops; models with batch statistics are reported apart."""

from __future__ import annotations

import multiprocessing
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback

from tests.modules.image_models import (
    EVERYTHING,
    NETWORKS,
    RESUMED,
    digits,
    module,
    moved,
    statistics,
    train,
    worst,
)
from tests.modules.interrupted import ROUNDS, Stop, Stopped, difference, go_on
from tests.modules.test_interruption import newest_whole
from unlearnkit.callbacks import EvaluateEvery, GeN
from unlearnkit.evaluators import ClassificationEvaluator
from unlearnkit.gradients import Displacement, saliency_mask
from unlearnkit.modules import UnlearningModule

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def weights(found: UnlearningModule) -> list[torch.Tensor]:
    """Return all parameters."""
    return [p.detach() for p in found.host.parameters]


def cut(network: str, kind: str, frozen: bool = False) -> tuple[Any, Any]:
    """Return a run on whole batches and the same run on micro-batches of about three images."""
    whole = train(network, kind, frozen=frozen)
    return whole, train(network, kind, digits(micro_batch_size=3), frozen=frozen)


# -------------------------------------------------------------------------------- micro-batches


@pytest.mark.parametrize(("network", "kind"), EVERYTHING)
def test_micro_batches_equal_one_batch(network: str, kind: str) -> None:
    """Without batch statistics, and where batch norms keep theirs (FrozenStatistics)."""
    whole, parts = cut(network, kind, frozen=network == "resnet18")
    assert moved(weights(whole), network) > 1e-3
    assert worst(weights(parts), weights(whole)) <= 1e-10
    assert all(map(torch.equal, statistics(parts), statistics(whole)))
    assert all(map(torch.equal, statistics(whole), statistics(module(network, kind))))


@pytest.mark.parametrize("kind", ["NGDiff", "DualOptimPlus", "SalUn"])
def test_batch_norm_makes_micro_batches_another_run(kind: str) -> None:
    """No rounding: after four rounds they are apart by more than half as far as training has moved any weight."""
    whole, parts = cut("resnet18", kind)
    assert worst(weights(parts), weights(whole)) > 0.5 * moved(weights(whole), "resnet18")
    assert worst(statistics(parts), statistics(whole)) > 0.1


def test_random_depth_makes_micro_batches_another_run() -> None:
    """Stochastic depth, timm's default for Swin, draws for each sample in the order in which batches come."""
    whole, parts = cut("swin-random-depth", "NGDiff")
    assert worst(weights(parts), weights(whole)) > 1e-4


# --------------------------------------------------------------------------------------- probes


class Probes(Callback):
    """Look at the model after each round in all the ways there are, and see that it stays as it is."""

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        model, before = pl_module.model, self.state(pl_module.model)
        data = trainer.datamodule
        displacement = Displacement(model)
        with torch.no_grad():
            for parameter in pl_module.host.parameters:
                parameter.add_(0.1)
        displacement.measure()
        for multiple in (-1.0, 0.5, 0.0):
            displacement.write(multiple)
            pl_module.loss_on("retain", batch["retain"])
        displacement.write(0.0)
        displacement.release()
        for side in ("forget", "retain"):
            pl_module.loss_on(side, data.probe_batch(side, trainer.global_step))
        for score in ("salun", "salun_difference", "fisher_ratio"):
            saliency_mask(model, data.batches, score)
        ClassificationEvaluator(rows=8).evaluate(model, data)
        after = self.state(model)
        assert before.keys() == after.keys()
        assert all(torch.equal(before[name], after[name]) for name in before)

    @staticmethod
    def state(model: torch.nn.Module) -> dict[str, torch.Tensor]:
        """Return weights, buffers, modes and the generator's state."""
        modes = torch.tensor([part.training for part in model.modules()])
        kept = {name: value.clone() for name, value in model.state_dict().items()}
        return kept | {" modes": modes, " generator": torch.get_rng_state()}


@pytest.mark.parametrize(("network", "frozen"), [*((name, False) for name in NETWORKS), ("resnet18", True)])
def test_probes_and_evaluations_leave_no_trace(network: str, frozen: bool) -> None:
    """Neither where they are made nor at the end, with all that draws: augmentation, random depth."""
    plain = train(network, "SalUn", frozen=frozen)
    evaluated = EvaluateEvery(ClassificationEvaluator(rows=8), every=1, at_start=True)
    options = {"limit_val_batches": 2, "val_check_interval": 1, "check_val_every_n_epoch": None}
    looked = train(network, "SalUn", None, (Probes(), evaluated), frozen=frozen, **options)
    assert len(evaluated.path) == 5
    one, other = plain.model.state_dict(), looked.model.state_dict()
    assert all(torch.equal(value, other[name]) for name, value in one.items())


class WatchedGeN(GeN):
    """See that fits leave batch statistics, modes and the generator as they are."""

    fits = 0

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        def state() -> list[torch.Tensor]:
            kept = Probes.state(pl_module.model)
            return [*statistics(pl_module), kept[" modes"], kept[" generator"]]

        before = state()
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        assert all(map(torch.equal, before, state()))
        self.fits += self.last_fit is not None


@pytest.mark.parametrize("preset", ["paper", "autogen"])
def test_gen_does_not_move_batch_statistics(preset: Any) -> None:
    gen, found = WatchedGeN(every=1, preset=preset), module("resnet18", "NGDiff")
    found = train("resnet18", "NGDiff", None, (gen,))
    assert gen.fits == 4
    assert worst(statistics(found), statistics(module("resnet18", "NGDiff"))) > 1e-3


# ------------------------------------------------------------------------------------- stopped runs

PLACES = (
    Stop("backward", 1),
    Stop("step", 2),
    Stop("while saving", 3),
    Stop("epoch end", 3),
    Stop("before", 6),
)


@pytest.mark.parametrize("name", RESUMED)
def test_a_run_stopped_anywhere_ends_with_the_same_bits(name: str, tmp_path: Path) -> None:
    """Weights, moments, mask, batch statistics and counters of every checkpoint."""
    kind = RESUMED[name]
    go_on(kind, tmp_path / "whole")
    for stop in PLACES:
        with pytest.raises(Stopped):
            go_on(kind, tmp_path / "stopped", stop)
    go_on(kind, tmp_path / "stopped")
    for round_ in range(1, ROUNDS + 1):
        places = [tmp_path / folder / f"step={round_}.ckpt" for folder in ("stopped", "whole")]
        assert difference(*places) is None, round_
    first, last = (torch.load(tmp_path / f"whole/step={n}.ckpt")["state_dict"] for n in (1, ROUNDS))
    drifted = {key for key in first if "running_" in key and not torch.equal(first[key], last[key])}
    assert bool(drifted) == name.startswith("batch-norm")


def test_a_killed_run_goes_on_with_the_same_bits(tmp_path: Path) -> None:
    """By a signal that no process can answer, at a random moment after the fourth round."""
    kind, folder = RESUMED["batch-norm-salun"], tmp_path / "killed"
    # A fork: a process of its own would take longer to import all this than to train.
    process = multiprocessing.get_context("fork").Process(
        target=go_on, args=(kind, folder), kwargs={"rounds": 60}
    )
    process.start()
    deadline = time.monotonic() + 120
    while not (folder / "step=4.ckpt").exists() and time.monotonic() < deadline:
        assert process.is_alive()
        time.sleep(0.001)
    time.sleep(random.Random(0).uniform(0, 0.1))
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    last, _ = newest_whole(folder)
    assert 4 <= last < 60
    go_on(kind, folder, rounds=last + 2)
    go_on(kind, tmp_path / "whole", rounds=last + 2)
    final = f"step={last + 2}.ckpt"
    assert difference(folder / final, tmp_path / "whole" / final) is None
