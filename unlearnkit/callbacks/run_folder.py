"""RunFolder: what makes a run's folder complete beside its configuration and checkpoints."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from unlearnkit.artifacts import atomic_write_json
from unlearnkit.batches import TRAITS, ImageTraits


class RunFolder(Callback):
    """Write split, tokenizer (or what images are like) and results of a run into the trainer's log folder.

    ``split.json`` and ``tokenizer/`` or ``traits.json`` are there before the first round, and ``manifest.json`` where
    the data module has more parts than a split tells (``Preferences``); ``results.json`` after the last one, or when a
    fit stops with an error, which is then told under ``stopped``; ``selection.json`` after each epoch of a strategy
    that weighs samples; ``predictions.json`` after a prediction.
    A data module without a split or a tokenizer has none written. Nothing is written where there is no logger.
    """

    def __init__(self) -> None:
        self.started: float | None = None
        self.folder: Path | None = None
        self.split_hash: str | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write what the data module knows by now."""
        self.started = time.perf_counter()
        # Asked here, on every rank, because it broadcasts: an exception may come on one rank alone.
        found = trainer.log_dir if trainer.loggers and not trainer.fast_dev_run else None  # type: ignore[attr-defined]
        folder = self.folder = None if found is None else Path(found)
        datamodule: Any = getattr(trainer, "datamodule", None)
        if folder is None or not trainer.is_global_zero or datamodule is None:
            return
        if hasattr(datamodule, "split"):
            self.split_hash = datamodule.split.hash
            datamodule.split.save(folder / "split.json")
        if hasattr(datamodule, "save_tokenizer"):
            datamodule.save_tokenizer(folder / "tokenizer")
        if hasattr(datamodule, "save_manifest"):
            datamodule.save_manifest(folder / "manifest.json")
        traits = getattr(datamodule, "traits", None)
        if isinstance(traits, ImageTraits):
            atomic_write_json(folder / TRAITS, asdict(traits))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the weights that the epoch was trained with, where samples have weights."""
        selection = getattr(getattr(pl_module, "strategy", None), "selection", None)
        if self.folder is not None and trainer.is_global_zero and selection is not None:
            selection.save(self.folder / "selection.json")

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the results."""
        self._write_results(trainer, None)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Write what there is when a fit stops early."""
        if trainer.state.fn == "fit" and self.started is not None:
            self._write_results(trainer, exception)

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write this rank's predictions, batch by batch, for each loader."""
        if self.folder is None:
            return
        rank = "" if trainer.world_size == 1 else f"-rank{trainer.global_rank}"
        predictions = _plain(trainer.predict_loop.predictions)
        atomic_write_json(self.folder / f"predictions{rank}.json", {"format": 1, "predictions": predictions})

    def _write_results(self, trainer: Trainer, stopped: BaseException | None) -> None:
        if self.folder is None or not trainer.is_global_zero or self.started is None:
            return
        metrics = trainer.logged_metrics | trainer.callback_metrics
        results: dict[str, Any] = {
            "format": 1,
            "kind": "fit",
            "rounds": trainer.global_step,
            "seconds": time.perf_counter() - self.started,
            "stopped": None if stopped is None else f"{type(stopped).__name__}: {stopped}",
            "checkpoint": getattr(trainer.checkpoint_callback, "best_model_path", "") or None,
            "split_hash": self.split_hash,
            "world_size": trainer.world_size,
            "metrics": {name: float(value) for name, value in sorted(metrics.items())},
            "path": next((found.path for found in _callbacks(trainer) if hasattr(found, "path")), []),
        }
        atomic_write_json(self.folder / "results.json", results)


def _callbacks(trainer: Trainer) -> list[Any]:
    return list(trainer.callbacks)  # type: ignore[attr-defined]


def _plain(value: Any) -> Any:
    """Turn tensors into lists, at any depth."""
    if isinstance(value, Tensor):
        return value.tolist()
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
