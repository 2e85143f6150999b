"""What goes on around a sharded fit: evaluations before it, and saves that are killed."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from tests.distributed.contract import HOSTS
from tests.distributed.language import CASES, batches, model
from tests.modules.tiny import loader, quiet
from unlearnkit.errors import ArtifactError, ConfigurationError
from unlearnkit.modules import UnlearningModule, sharded
from unlearnkit.modules.checkpoints import require_whole_checkpoint
from unlearnkit.objectives import NPO
from unlearnkit.testing.toys import ToyClassifier, toy_pair


def validate_then_fit() -> str:
    """Return the refusal of a fit whose reference would be a copy of shards."""
    warnings.simplefilter("ignore")
    module = UnlearningModule(model(CASES["npo"]), NPO())
    trainer = quiet(devices=2, strategy=HOSTS["fsdp2"](), use_distributed_sampler=False)
    trainer.validate(module, loader([pair["retain"] for pair in batches(CASES["npo"], None)]), verbose=False)
    try:
        trainer.fit(module, loader(batches(CASES["npo"], None)))
    except ConfigurationError as error:
        return str(error)
    return "it was not refused"


def save_that_is_cut_short(folder: str) -> dict[str, Any]:
    """Overwrite a checkpoint, break off where the old one is being removed; return what is left."""
    warnings.simplefilter("ignore")

    class Killed(BaseException):
        pass

    removed = []
    remove = sharded._remove

    def half_removed(path: Path) -> None:
        removed.append(path.name)
        if path.exists():
            (path / ".metadata").unlink(missing_ok=True)
            raise Killed

    module = UnlearningModule(ToyClassifier(seed=1), optimizer=lambda p: torch.optim.SGD(p, lr=0.1))
    keep = ModelCheckpoint(folder, every_n_train_steps=1, save_last=True, save_top_k=0)
    trainer = quiet(
        devices=2,
        strategy=HOSTS["fsdp2"](),
        callbacks=[keep],
        enable_checkpointing=True,
        max_steps=1,
        use_distributed_sampler=False,
    )
    trainer.fit(module, loader([toy_pair()]))
    last = Path(folder) / "last.ckpt"
    require_whole_checkpoint(last)
    sharded._remove = half_removed
    try:
        if trainer.is_global_zero:  # as far as rank 0 gets before it is killed
            sharded.replace(last, _copy(last))
    except Killed:
        pass
    finally:
        sharded._remove = remove
    trainer.strategy.barrier()
    try:
        require_whole_checkpoint(last)
        whole = "last.ckpt"
    except ArtifactError as error:
        whole = str(error)
    return {"removed": removed, "whole": whole}


def _copy(path: Path) -> Path:
    import shutil

    copied = path.with_name(f".{path.name}.tmp")
    shutil.copytree(path, copied)
    return copied
