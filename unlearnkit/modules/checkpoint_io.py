"""Checkpoints written under a temporary name beside their place, then renamed."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.plugins.io import TorchCheckpointIO


class AtomicCheckpointIO(TorchCheckpointIO):
    """Write a checkpoint so that its name is there only when it is whole, or was there before.

    Lightning's own writes into the system's folder for temporary files and moves the file from there: where
    that is another file system, moving is copying, and a kill leaves half a checkpoint under the name.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "one.ckpt"
    >>> AtomicCheckpointIO().save_checkpoint({"epoch": 1}, path)
    >>> [file.name for file in path.parent.iterdir()], torch.load(path)
    (['one.ckpt'], {'epoch': 1})
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Write a checkpoint; addresses elsewhere (``s3://...``) are left to Lightning."""
        if "://" in str(path):
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
        try:
            with open(temporary, "xb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def write_atomically(trainer: Trainer) -> None:
    """Have a trainer write its checkpoints so, unless it was given a way of its own."""
    strategy: Any = trainer.strategy
    if type(strategy.checkpoint_io) is TorchCheckpointIO:
        strategy.checkpoint_io = AtomicCheckpointIO()
