"""Checkpoints as they are read: a truncated or damaged one is refused by name, before anything of it is taken.

``torch.load`` tells of a truncated file with the words of its zip reader, and does not look at the check sums
at all: a flipped byte becomes a weight.
"""

from __future__ import annotations

import functools
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer
from torch import Tensor

from unlearnkit.errors import ArtifactError, ConfigurationError

META = "meta.pt"
"""What Lightning writes last into the folder of a distributed checkpoint; without it a save was cut short."""


def require_whole_checkpoint(path: str | Path, argument: str = "ckpt_path") -> None:
    """Refuse a checkpoint that is missing, truncated or damaged.

    A file must be a zip whose parts have their check sums (read once, some 3 GB/s). The folder of a
    distributed checkpoint must hold ``.metadata``, ``meta.pt`` and every shard at its full length. Addresses
    elsewhere (``s3://...``) are left to the reader.

    Args:
        path: The checkpoint, a file or a folder.
        argument: What the path is called where the user gave it.

    Raises:
        ArtifactError: It is not whole; the message names the newest whole checkpoint beside it.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "last.ckpt"
    >>> torch.save({"state_dict": {}}, path)
    >>> require_whole_checkpoint(path)
    """
    if "://" in str(path):
        return
    fault = _fault(Path(path))
    if fault is None:
        return
    # A save that was killed between two renames has left one of these whole under its hidden name.
    beside = [Path(path).with_name(f".{Path(path).name}.{kind}") for kind in ("tmp", "old")]
    others = [*(found for found in beside if found.exists()), *_by_age(Path(path).parent)]
    whole = next((other for other in others if other != Path(path) and _fault(other) is None), None)
    if whole is not None:
        remedy = f"Use the previous checkpoint, {str(whole)!r}, the newest whole one in that folder."
    else:
        remedy = "That folder holds no other whole one: use a checkpoint from elsewhere, or run again from the start."
    raise ArtifactError(f"`{argument}` must be a whole checkpoint. Found {str(path)!r}, {fault}. {remedy}")


def refuse_damaged(trainer: Trainer) -> None:
    """Have the trainer's strategy look at each checkpoint before it loads one.

    ``setup`` comes too early to look: only when it loads does the trainer know the path.
    """
    strategy: Any = trainer.strategy
    load = strategy.load_checkpoint
    if hasattr(load, "__wrapped__"):
        return  # by an earlier entry point of the same trainer

    @functools.wraps(load)
    def checked(checkpoint_path: str | Path, *args: Any, **kwargs: Any) -> Any:
        require_whole_checkpoint(checkpoint_path)
        return load(checkpoint_path, *args, **kwargs)

    strategy.load_checkpoint = checked


def refuse_timed(trainer: Trainer) -> None:
    """Refuse a checkpoint every so many minutes, which Lightning leaves out in manual optimization.

    Raises:
        ConfigurationError: A ModelCheckpoint has ``train_time_interval``.
    """
    for callback in trainer.checkpoint_callbacks:
        interval = getattr(callback, "_train_time_interval", None)
        if interval is not None:
            raise ConfigurationError(
                "`train_time_interval` of ModelCheckpoint must be unset: in manual optimization Lightning never writes "
                f"such a checkpoint. Found {interval}. Use every_n_train_steps, which counts rounds."
            )


def open_next_epoch(trainer: Trainer) -> None:
    """Have an epoch counted that begins with a resume, for ``on_train_start``.

    Resumed from the last batch of an epoch, Lightning 2.6 closes that epoch and then takes the next one for its
    continuation, which it does not count: a second resume would train that one from its start again, and a
    run of ``max_epochs=3`` be longer by as many batches.
    """
    loop = trainer.fit_loop
    done: Any = loop.epoch_progress.total
    if loop.restarted_mid_epoch and done.processed == done.started:
        loop.reset_restart_stage()


def read_weights(path: str | Path, argument: str = "ckpt_path") -> dict[str, Tensor]:
    """Return the ``state_dict`` of a checkpoint, a file or the folder of a distributed one, on the CPU.

    Raises:
        ArtifactError: The checkpoint is not whole.
    """
    require_whole_checkpoint(path, argument)
    if Path(path).is_file():
        state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
        return state
    from torch.distributed.checkpoint.filesystem import FileSystemReader
    from torch.distributed.checkpoint.metadata import TensorStorageMetadata
    from torch.distributed.checkpoint.state_dict_loader import load

    reader = FileSystemReader(path)
    prefix = "state_dict."
    empty = {
        name.removeprefix(prefix): torch.empty(found.size, dtype=found.properties.dtype)
        for name, found in reader.read_metadata().state_dict_metadata.items()
        if name.startswith(prefix) and isinstance(found, TensorStorageMetadata)
    }
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")  # that is what is meant
        load({"state_dict": empty}, storage_reader=reader, no_dist=True)
    return empty


def _by_age(folder: Path) -> list[Path]:
    """Return the checkpoints that lie in a folder itself, the newest first."""
    if not folder.is_dir():
        return []
    return sorted(folder.glob("*.ckpt"), key=lambda path: path.stat().st_mtime, reverse=True)


def _fault(path: Path) -> str | None:
    """Say what is wrong with a checkpoint, or None where it is whole."""
    if path.is_dir():
        return _fault_of_folder(path)
    if not path.exists():
        return "where there is none"
    size = path.stat().st_size
    if size == 0:
        return "an empty file"
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            started = file.read(4) == b"PK\x03\x04"
        return f"truncated after {size} bytes" if started else "which is no checkpoint at all"
    try:
        with zipfile.ZipFile(path) as parts:
            broken = parts.testzip()
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError) as error:
        return f"damaged ({error})"
    return None if broken is None else f"damaged in its part {broken!r}"


def _fault_of_folder(folder: Path) -> str | None:
    """Say what is wrong with the folder of a distributed checkpoint, or None."""
    from torch.distributed.checkpoint.filesystem import FileSystemReader

    for name in (".metadata", META):
        if not (folder / name).is_file():
            return f"a folder without {name!r}: its save was cut short"
    fault = _fault(folder / META)
    if fault is not None:
        return f"whose {META!r} is {fault}"
    try:
        stored = FileSystemReader(folder).read_metadata().storage_data
    except Exception as error:  # whatever unpickling a damaged file comes upon
        return f"whose '.metadata' is damaged ({type(error).__name__})"
    needed: dict[str, int] = {}
    for part in stored.values():
        needed[part.relative_path] = max(needed.get(part.relative_path, 0), part.offset + part.length)
    for name, length in sorted(needed.items()):
        if not (folder / name).is_file():
            return f"without its shard {name!r}"
        found = (folder / name).stat().st_size
        if found < length:
            return f"whose shard {name!r} is truncated ({found} of {length} bytes)"
    return None
