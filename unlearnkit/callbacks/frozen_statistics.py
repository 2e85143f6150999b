"""FrozenStatistics: batches of what is to be forgotten must not become the model's running statistics."""

from __future__ import annotations

import logging
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn

from unlearnkit.models.batch_statistics import statistics_layers

log = logging.getLogger("unlearnkit")


class FrozenStatistics(Callback):
    """Keep batch-norm layers in eval mode while a model unlearns; the rest of the model trains as it would.

    In train mode such a layer normalises by the batch and moves its running mean and variance towards it, also in a
    forget step and where a hard mask freezes all weights. Batches of a single class then shift what every later
    image is normalised by. Here the statistics stay those of the target, and a round's gradients are those of the
    model that is evaluated. Scale and shift are weights, and go on being trained. The published code of SalUn, SFRon
    and DualOptim lets statistics drift (its gradient ascent alone is in eval mode), so papers' numbers are without
    this. After ``fit`` the layers are in train mode again.

    >>> layers = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.LayerNorm(4))
    >>> [type(layer).__name__ for layer in statistics_layers(layers)]
    ['BatchNorm2d']

    In a YAML::

        callbacks:
          - class_path: FrozenStatistics
    """

    def __init__(self) -> None:
        self._layers: list[nn.Module] = []
        self._held: list[nn.Module] = []

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Find the layers, and say where there are none."""
        self._layers, self._held = statistics_layers(_model(pl_module)), []
        if not self._layers and trainer.is_global_zero:
            log.warning(
                "FrozenStatistics has nothing to do: %s has no layer with running statistics (batch norm).",
                type(_model(pl_module)).__name__,
            )

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Put the layers into eval mode, before each round: whoever evaluates may have put all into train mode."""
        for layer in self._layers:
            if layer.training:
                layer.training = False  # not `eval()`: a dropout within it is none of this
                self._held.append(layer)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Put the layers back into train mode."""
        if stage == "fit":
            self._let_go()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Do the same after an error, when there is no teardown."""
        self._let_go()

    def _let_go(self) -> None:
        for layer in self._held:
            layer.training = True
        self._layers, self._held = [], []


def _model(module: Any) -> nn.Module:
    found: nn.Module = getattr(module, "model", module)
    return found
