"""RunFolder: what lies in a run's folder, when, and what is there after a stop."""

import json
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.loggers import CSVLogger
from torch.utils.data import DataLoader

from unlearnkit.artifacts import Split
from unlearnkit.callbacks.run_folder import RunFolder
from unlearnkit.errors import NonFiniteError

SPLIT = Split("demo", forget=(3,), retain=(0, 1, 2), source="generated", rows=4)


class Line(LightningModule):
    """A line through four points; raises in the round asked for."""

    def __init__(self, stop_at=None):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.stop_at = stop_at

    def training_step(self, batch, batch_idx):
        if batch_idx == self.stop_at:
            raise NonFiniteError("The retain loss must stay finite. Found nan in round 1.")
        loss = self.layer(batch).square().mean()
        self.log("loss/train", loss)
        return loss

    def predict_step(self, batch, batch_idx):
        return {"answer": ["a"] * len(batch), "score": batch[:, 0]}

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Points(LightningDataModule):
    """Data with a split and a tokenizer."""

    split = SPLIT

    def train_dataloader(self):
        return DataLoader(torch.arange(4.0).reshape(4, 1), batch_size=1)

    predict_dataloader = train_dataloader

    def save_tokenizer(self, folder):
        Path(folder).mkdir(parents=True)
        (Path(folder) / "tokenizer.json").write_text("{}")


class Parts(Points):
    """Data that have more parts than a split tells."""

    def save_manifest(self, path):
        Path(path).write_text('{"kind": "parts"}')


class LookBeforeRoundOne(Callback):
    """Remember what is in the folder when training starts."""

    def on_train_start(self, trainer, pl_module):
        self.seen = {path.name for path in Path(trainer.log_dir).iterdir()}


def make_trainer(tmp_path, *callbacks, **arguments):
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    arguments.setdefault("logger", CSVLogger(tmp_path, name="run"))
    return Trainer(
        callbacks=[*callbacks, RunFolder()], max_epochs=1, log_every_n_steps=1, **quiet, **arguments
    )


def test_folder_of_a_whole_run(tmp_path):
    look = LookBeforeRoundOne()
    trainer = make_trainer(tmp_path, look)
    trainer.fit(Line(), datamodule=Points())
    folder = tmp_path / "run" / "version_0"
    assert look.seen >= {"split.json", "tokenizer"}
    assert "manifest.json" not in look.seen
    assert Split.load(folder / "split.json") == SPLIT
    results = json.loads((folder / "results.json").read_text())
    assert results["rounds"] == 4
    assert results["stopped"] is None
    assert results["split_hash"] == SPLIT.hash
    assert results["metrics"]["loss/train"] == pytest.approx(float(trainer.callback_metrics["loss/train"]))
    assert Path(results["checkpoint"]).exists()


def test_a_manifest_is_there_where_the_data_have_one(tmp_path):
    look = LookBeforeRoundOne()
    make_trainer(tmp_path, look).fit(Line(), datamodule=Parts())
    assert look.seen >= {"split.json", "manifest.json"}
    assert json.loads((tmp_path / "run" / "version_0" / "manifest.json").read_text()) == {"kind": "parts"}


def test_results_tell_why_a_run_stopped(tmp_path):
    trainer = make_trainer(tmp_path)
    with pytest.raises(NonFiniteError):
        trainer.fit(Line(stop_at=2), datamodule=Points())
    results = json.loads((tmp_path / "run" / "version_0" / "results.json").read_text())
    assert results["rounds"] == 2
    assert results["stopped"].startswith("NonFiniteError: The retain loss must stay finite")


def test_an_exception_on_one_rank_asks_the_others_nothing(tmp_path, monkeypatch):
    """The log folder's name is broadcast: asked by one rank alone, it would wait for ever."""
    trainer = make_trainer(tmp_path)
    callback = next(found for found in trainer.callbacks if isinstance(found, RunFolder))
    callback.setup(trainer, Line(), "fit")
    trainer.state.fn = "fit"
    monkeypatch.setattr(trainer.strategy, "broadcast", lambda *_: pytest.fail("a collective call"))
    callback.on_exception(trainer, Line(), RuntimeError("out of memory"))
    assert "out of memory" in (tmp_path / "run" / "version_0" / "results.json").read_text()


def test_a_setup_that_fails_keeps_its_own_error_and_leaves_no_results(tmp_path):
    class Broken(Points):
        @property
        def split(self):
            raise ValueError("`split` is known after setup")

        def setup(self, stage):
            raise RuntimeError("no such file")

    with pytest.raises(RuntimeError, match="no such file"):
        make_trainer(tmp_path).fit(Line(), datamodule=Broken())
    assert not list(tmp_path.rglob("results.json"))


def test_predictions_are_written_as_json(tmp_path):
    make_trainer(tmp_path).predict(Line(), datamodule=Points())
    found = json.loads((tmp_path / "run" / "version_0" / "predictions.json").read_text())
    assert found["predictions"] == [{"answer": ["a"], "score": [float(k)]} for k in range(4)]


@pytest.mark.parametrize("arguments", [{"logger": False}, {"fast_dev_run": True}])
def test_nothing_is_written_where_nothing_is_logged(tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    make_trainer(tmp_path, enable_checkpointing=False, **arguments).fit(Line(), datamodule=Points())
    assert not list(tmp_path.rglob("*.json"))


def test_data_without_split_or_tokenizer(tmp_path):
    class Bare(LightningDataModule):
        train_dataloader = Points.train_dataloader

    make_trainer(tmp_path).fit(Line(), datamodule=Bare())
    folder = tmp_path / "run" / "version_0"
    assert json.loads((folder / "results.json").read_text())["split_hash"] is None
    assert not (folder / "split.json").exists()
