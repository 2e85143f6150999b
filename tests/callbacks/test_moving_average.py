"""MovingAverage: the average by its formula, in the model and in checkpoints, and resumed to the same bits."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.distributed.device_mesh import init_device_mesh

from tests.callbacks.runs import fit, module_for
from tests.models.diffusion_parts import SMALL
from unlearnkit.callbacks import MovingAverage
from unlearnkit.datamodules import DiffusionImages
from unlearnkit.errors import ConfigurationError
from unlearnkit.models import DiffusionModel
from unlearnkit.modules import FinetuningModule
from unlearnkit.sharding import shard_module

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def weights(module):
    return {name: p.detach().clone() for name, p in module.named_parameters()}


class Steps(Callback):
    """Keep the weights that each round begins with, and those of the last one's end."""

    def __init__(self):
        self.found = []

    def on_train_start(self, trainer, module):
        self.found.append(weights(module))

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        self.found.append(weights(module))


def averaged(found, factor):
    average = found[0]
    for step, later in enumerate(found[1:]):
        average = {
            name: factor(step) * value + (1 - factor(step)) * later[name] for name, value in average.items()
        }
    return average


@pytest.mark.parametrize("warm_up", [False, True])
def test_it_is_the_formula_and_training_does_not_see_it(tmp_path: Path, warm_up: bool) -> None:
    plain, alone = module_for(), Steps()
    fit(plain, 6, [alone], tmp_path)
    module, steps = module_for(), Steps()
    fit(module, 6, [MovingAverage(0.6, warm_up), steps], tmp_path)
    for first, second in zip(steps.found, alone.found, strict=True):
        assert all(torch.equal(value, second[name]) for name, value in first.items())
    expected = averaged(steps.found, lambda n: min(0.6, (1 + n) / (10 + n)) if warm_up else 0.6)
    for name, value in weights(module).items():
        torch.testing.assert_close(value, expected[name])
        assert not torch.equal(value, steps.found[-1][name])


def train(callbacks, steps=6, **options):
    module = FinetuningModule(DiffusionModel(**SMALL["unet"], dropout=0.1), warmup_steps=0)
    settings = {
        "max_steps": steps, "accelerator": "cpu", "devices": 1, "logger": False, "enable_progress_bar": False,
        "enable_model_summary": False, "enable_checkpointing": any("Checkpoint" in type(c).__name__ for c in callbacks),
    }  # fmt: skip
    data = DiffusionImages("digits", train_on="full", train_batch_size=8, seed=3)
    trainer = Trainer(callbacks=callbacks, limit_val_batches=0, **settings)
    trainer.fit(module, datamodule=data, **options)
    return module


def test_a_network_from_scratch_is_averaged_and_resumed_bit_for_bit(tmp_path: Path) -> None:
    """Time steps, noise and dropped classes of a diffusion model included."""
    keep = ModelCheckpoint(tmp_path, every_n_train_steps=1, save_top_k=-1, filename="{step}")
    steps = Steps()
    whole = train([MovingAverage(0.6), steps, keep])
    expected = averaged(steps.found, lambda n: min(0.6, (1 + n) / (10 + n)))
    for name, value in weights(whole).items():
        torch.testing.assert_close(value, expected[name])
    for stop in (1, 3, 5):
        path = tmp_path / f"step={stop}.ckpt"
        kept = torch.load(path, weights_only=True)["state_dict"]
        later = Steps()
        resumed = train([MovingAverage(0.6), later], ckpt_path=path, weights_only=True)
        assert len(later.found) == 7 - stop
        for own, other in zip(later.found, steps.found[stop:], strict=True):
            assert all(torch.equal(value, other[name]) for name, value in own.items()), f"after {stop} steps"
        assert all(torch.equal(value, weights(whole)[name]) for name, value in weights(resumed).items())
        half = averaged(steps.found[: stop + 1], lambda n: min(0.6, (1 + n) / (10 + n)))
        for name, value in half.items():
            torch.testing.assert_close(kept[name], value)


def test_a_checkpoint_without_an_average_begins_one(tmp_path: Path) -> None:
    keep = ModelCheckpoint(tmp_path, every_n_train_steps=2, save_top_k=-1, filename="{step}")
    train([keep], steps=2)
    steps = Steps()
    module = train([MovingAverage(0.5, warm_up=False), steps], steps=4, ckpt_path=tmp_path / "step=2.ckpt")
    expected = averaged(steps.found, lambda n: 0.5)
    assert len(steps.found) == 3
    for name, value in weights(module).items():
        torch.testing.assert_close(value, expected[name])


def test_validation_sees_the_average_and_gives_the_weights_back() -> None:
    average, module = MovingAverage(0.5, warm_up=False), module_for()
    trainer = Trainer(logger=False, enable_checkpointing=False, accelerator="cpu")
    trainer.state.fn = "fit"
    average.on_train_start(trainer, module)
    start = weights(module)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(1.0)
    moved = weights(module)
    average.on_validation_epoch_start(trainer, module)
    assert all(torch.equal(value, start[name]) for name, value in weights(module).items())
    checkpoint = {"state_dict": dict(module.state_dict())}
    average.on_save_checkpoint(trainer, module, checkpoint)
    assert all(torch.equal(checkpoint["state_dict"][name], value) for name, value in start.items())
    assert all(torch.equal(checkpoint["moving_average"][name], value) for name, value in moved.items())
    average.on_validation_epoch_end(trainer, module)
    assert all(torch.equal(value, moved[name]) for name, value in weights(module).items())


@pytest.mark.parametrize("decay", [1.0, -0.1, float("nan")])
def test_refused(decay: float) -> None:
    with pytest.raises(ConfigurationError, match=r"`decay` must lie in \[0, 1\)"):
        MovingAverage(decay)


def test_shards_are_refused(tmp_path: Path) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        module = module_for()
        shard_module(module.model, init_device_mesh("cpu", (1,)))
        trainer = Trainer(logger=False, enable_checkpointing=False, accelerator="cpu")
        with pytest.raises(ConfigurationError, match="`callbacks` must not hold MovingAverage under FSDP2"):
            MovingAverage().on_train_start(trainer, module)
    finally:
        torch.distributed.destroy_process_group()
