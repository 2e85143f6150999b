"""A checkpoint's name is there only when it is whole."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO

from tests.modules.tiny import loader, quiet
from unlearnkit.modules import UnlearningModule
from unlearnkit.modules.checkpoint_io import AtomicCheckpointIO
from unlearnkit.testing.toys import ToyClassifier, toy_pair


class Unsavable:
    def __reduce__(self):
        raise InterruptedError


def test_what_was_there_stays_when_a_save_breaks(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint({"round": 1}, path)
    with pytest.raises(InterruptedError):
        AtomicCheckpointIO().save_checkpoint({"weights": torch.zeros(1000), "round": Unsavable()}, path)
    assert torch.load(path) == {"round": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["last.ckpt"]


def test_folders_above_are_made_and_an_old_checkpoint_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.ckpt"
    for round_ in (1, 2):
        AtomicCheckpointIO().save_checkpoint({"round": round_}, path)
    assert AtomicCheckpointIO().load_checkpoint(path) == {"round": 2}


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_trainers_write_so_unless_given_a_way_of_their_own(tmp_path: Path, monkeypatch) -> None:
    class Own(TorchCheckpointIO):
        pass

    for plugins, kind in (([], AtomicCheckpointIO), ([Own()], Own)):
        keep = ModelCheckpoint(tmp_path, every_n_train_steps=1, filename="{step}")
        trainer = quiet(callbacks=[keep], enable_checkpointing=True, plugins=plugins)
        trainer.fit(UnlearningModule(ToyClassifier()), loader([toy_pair()]))
        assert type(trainer.strategy.checkpoint_io) is kind
        assert Path(keep.best_model_path).is_file()
