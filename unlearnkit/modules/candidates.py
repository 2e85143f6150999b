"""Candidates: all samples of the forget side, batch by batch, where the trainer computes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lightning.pytorch import Trainer

from unlearnkit.errors import ConfigurationError


class Candidates:
    """Go through the forget side of a run's data module, once each time, in the same order on every rank.

    Args:
        trainer: Running; its data module offers ``batches("forget")``.
    """

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer

    def __iter__(self) -> Iterator[Any]:
        """Yield the batches on the trainer's device, in its precision.

        Raises:
            ConfigurationError: The data module is not one of ours.
        """
        trainer = self.trainer
        datamodule: Any = getattr(trainer, "datamodule", None)
        if not hasattr(datamodule, "batches"):
            raise ConfigurationError(
                "`datamodule` must offer batches('forget'), all samples that may be unlearned, for a strategy that "
                f"chooses among them. Found {type(datamodule).__name__}. Use a data module of unlearnkit, such as "
                "PairedDatasets around your own data sets."
            )
        for batch in datamodule.batches("forget"):
            yield trainer.precision_plugin.convert_input(trainer.strategy.batch_to_device(batch))
