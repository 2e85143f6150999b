"""``fit``, ``validate``, ``test``, ``predict``: Lightning's command line, our classes under their short names."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch.distributed as dist
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback

# A short class name resolves to a class that has been imported.
import unlearnkit.callbacks
import unlearnkit.datamodules
import unlearnkit.evaluators
import unlearnkit.models
import unlearnkit.modules
import unlearnkit.objectives
import unlearnkit.optim
import unlearnkit.strategies  # noqa: F401
from unlearnkit.artifacts import atomic_write_text
from unlearnkit.callbacks.run_folder import RunFolder
from unlearnkit.modules.checkpoints import require_whole_checkpoint


class SaveConfig(SaveConfigCallback):
    """Write the resolved configuration into the run's folder: feeding it back repeats the run."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write ``config.yaml`` once, on one rank, whole or not at all."""
        folder = trainer.log_dir  # asked on every rank, because it broadcasts
        if self.already_saved or folder is None or not trainer.loggers:
            return
        if trainer.is_global_zero:
            text = self.parser.dump(self.config, skip_none=False, format="yaml")
            atomic_write_text(Path(folder) / "config.yaml", text)
        self.already_saved = True


class UnlearnKitCLI(LightningCLI):
    """LightningCLI whose model and data are any of our classes."""

    def __init__(self, arguments: Sequence[str], name: str) -> None:
        self.arguments = list(arguments)
        super().__init__(
            LightningModule,
            LightningDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            # Optimizers belong to the module, because optimization is manual.
            auto_configure_optimizers=False,
            save_config_callback=SaveConfig,
            seed_everything_default=0,
            trainer_defaults={
                "accelerator": "auto",
                "num_sanity_val_steps": 0,
                "logger": {
                    "class_path": "lightning.pytorch.loggers.CSVLogger",
                    "init_args": {"save_dir": "runs", "name": name},
                },
                "callbacks": [RunFolder()],
            },
            parser_kwargs={"prog": "unlearnkit", "exit_on_error": False, "allow_abbrev": False},
        )

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Build the trainer, with a checkpoint at each epoch's end unless the configuration says otherwise.

        Lightning's own default saves after a validation, which a short run may never reach.
        """
        given = self._get(self.config_init, "trainer")
        callbacks = given["callbacks"] if isinstance(given["callbacks"], list) else [given["callbacks"]]
        wanted = given["enable_checkpointing"] is not False and not given["fast_dev_run"]
        if wanted and not any(isinstance(callback, ModelCheckpoint) for callback in callbacks):
            self.trainer_defaults["callbacks"].append(ModelCheckpoint(save_on_train_epoch_end=True))
        return super().instantiate_trainer(**kwargs)

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse the arguments given to ``main``; the base class would warn that they are not sys.argv."""
        self.config = parser.parse_args(self.arguments)

    def _parse_ckpt_path(self) -> None:
        """Refuse a damaged checkpoint before the base class reads it for hyperparameters."""
        path = (self.config[self.config.subcommand] or {}).get("ckpt_path")
        if path is not None and Path(path).exists():
            require_whole_checkpoint(path)
        super()._parse_ckpt_path()


def run(arguments: Sequence[str], name: str) -> None:
    """Parse, build and run a subcommand of Lightning.

    Args:
        arguments: The subcommand and its options, configurations as paths.
        name: Name of the run's folder under ``runs/``.
    """
    # Lightning 2.6 asks torch 2.14 for a class that is on its way out; nothing a user could do about.
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")
    # Each command writes into a folder of its own, so the checkpoint's folder is always another one.
    warnings.filterwarnings("ignore", message="The dirpath has changed")
    # It advises to save the weights from before the round; ours is the state after it, as its name says.
    warnings.filterwarnings("ignore", message="Using ModelCheckpoint with manual optimization")
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(_no_advertisement)
    joined_before = _joined()
    trainer = UnlearnKitCLI(arguments, name).trainer
    folder = trainer.log_dir  # asked on every rank, because it broadcasts
    if folder is not None and trainer.is_global_zero:
        print(f"Run folder: {folder}", file=sys.stderr)
    if _joined() and not joined_before:
        # Lightning leaves gloo's threads to the interpreter's end, where one that still runs aborts the process.
        dist.destroy_process_group()


def _joined() -> bool:
    return dist.is_available() and dist.is_initialized()


def _no_advertisement(record: logging.LogRecord) -> bool:
    return "Tip: For seamless" not in record.getMessage()
