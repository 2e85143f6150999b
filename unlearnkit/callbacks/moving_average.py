"""MovingAverage: what a run leaves behind is the average of its weights along the way, as diffusion models are used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from unlearnkit.errors import ConfigurationError
from unlearnkit.sharding import sharded_modules

KEY = "moving_average"
"""Name in a checkpoint of the weights that training goes on with."""


class MovingAverage(Callback):
    """Average the trainable weights over all steps with weights that decay exponentially (DDPM: 0.9999).

    Training itself does not see the average. Validation does, checkpoints hold it under ``state_dict``, where exports
    and evaluations look, and the model has it when a fit has ended. A resumed run goes on from the weights beside it,
    with the same bits. Callbacks that evaluate in between (``EvaluateEvery``) see the weights of the step.

    Lightning's own ``EMAWeightAveraging`` copies the module before the data module has told what the network is to be
    built for: of a network from scratch it averages nothing, without a word.

    Args:
        decay: Share of the average that stays at each step.
        warm_up: Whether early steps count more, ``min(decay, (1 + steps) / (10 + steps))``: the average leaves the
            random weights that training begins with behind sooner.

    Raises:
        ConfigurationError: ``decay`` is out of its range; when a run starts: the model is sharded (FSDP2).

    >>> MovingAverage(decay=0.9999).factor(0), MovingAverage(0.9).factor(1000)
    (0.1, 0.9)

    In a YAML::

        callbacks:
          - class_path: MovingAverage
            init_args: {decay: 0.999}
    """

    def __init__(self, decay: float = 0.9999, warm_up: bool = True) -> None:
        if not 0 <= decay < 1:
            raise ConfigurationError(
                f"`decay` must lie in [0, 1), a share of the average. Found {decay}. Use e.g. 0.9999."
            )
        self.decay = decay
        self.warm_up = warm_up
        self._other: dict[str, Tensor] = {}
        self._swapped = False
        self._seen = 0

    def factor(self, steps: int) -> float:
        """Return the share of the average that stays when so many steps have been taken before."""
        return min(self.decay, (1 + steps) / (10 + steps)) if self.warm_up else self.decay

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin with the weights there are, unless a checkpoint brought an average.

        Raises:
            ConfigurationError: The model is sharded.
        """
        if sharded_modules(pl_module):
            raise ConfigurationError(
                "`callbacks` must not hold MovingAverage under FSDP2, whose checkpoints keep no average of shards. "
                'Found it. Use strategy="ddp", or leave it out.'
            )
        own = _weights(pl_module)
        if self._other.keys() != own.keys():
            self._other = {name: weight.detach().clone() for name, weight in own.items()}
        self._other = {name: value.to(own[name].device) for name, value in self._other.items()}
        self._seen = trainer.global_step

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Move the average, where a step was made and not only gradients accumulated."""
        if trainer.global_step == self._seen:
            return
        factor = self.factor(self._seen)
        self._seen = trainer.global_step
        own = _weights(pl_module)
        with torch.no_grad():
            torch._foreach_lerp_([self._other[name] for name in own], list(own.values()), 1 - factor)

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put the average in."""
        if self._other and trainer.state.fn == "fit":
            self._swap(pl_module)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take it out again."""
        if self._swapped and trainer.state.fn == "fit":
            self._swap(pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the average in the model."""
        self._swap(pl_module)

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Store the average as the model's weights, and the weights of the last step beside them."""
        if not self._other:
            return
        own = {name: weight.detach() for name, weight in _weights(pl_module).items()}
        average, last = (own, self._other) if self._swapped else (self._other, own)
        checkpoint["state_dict"] = {**checkpoint["state_dict"], **average}
        checkpoint[KEY] = dict(last)

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Where a run goes on: take the average, and give the model the weights of its last step back."""
        if trainer.state.fn != "fit" or KEY not in checkpoint:
            return
        own = _weights(pl_module)
        self._other = {name: checkpoint["state_dict"][name].clone() for name in own}
        self._swapped = False
        with torch.no_grad():
            for name, weight in own.items():
                weight.copy_(checkpoint[KEY][name])

    def _swap(self, pl_module: LightningModule) -> None:
        with torch.no_grad():
            for name, weight in _weights(pl_module).items():
                kept = weight.detach().clone()
                weight.copy_(self._other[name])
                self._other[name].copy_(kept)
        self._swapped = not self._swapped


def _weights(module: LightningModule) -> Mapping[str, torch.nn.Parameter]:
    """Return the trainable weights by the names that they have in a checkpoint."""
    return {name: weight for name, weight in module.named_parameters() if weight.requires_grad}
