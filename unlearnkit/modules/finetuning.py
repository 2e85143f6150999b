"""FinetuningModule: makes the target (train on everything) and the retrained reference (on the retain data)."""

from __future__ import annotations

import math
from typing import Any

import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from unlearnkit.errors import ConfigurationError, NonFiniteError
from unlearnkit.host import side_argument
from unlearnkit.modules.checkpoints import open_next_epoch
from unlearnkit.modules.evaluated import EvaluatedModule
from unlearnkit.modules.lightning_host import reseed
from unlearnkit.modules.shared_statistics import share_statistics
from unlearnkit.modules.unlearning import OptimizerCallable, check_optimizer
from unlearnkit.objectives import NLL, Objective
from unlearnkit.reduction import objective_loss


class FinetuningModule(EvaluatedModule):
    """Train a model on one stream of batches, with a linear warm-up and a cosine decay to zero.

    The loss is the mean over the scored units of all ranks, also for unequal batches. Clipping and
    accumulation are the trainer's (``gradient_clip_val``), since optimization is automatic here.

    Args:
        model: A module of ``unlearnkit.models`` or one with the same methods.
        objective: What is minimised; default ``NLL()``.
        optimizer: Makes the optimizer from the parameters; default AdamW at 3e-3.
        warmup_steps: Steps over which the rate rises linearly from 0.
        seed: Seed of everything random in training, together with step and rank.

    Raises:
        ConfigurationError: ``warmup_steps`` is negative, or the optimizer refuses its arguments.
    """

    def __init__(
        self,
        model: nn.Module,
        objective: Objective | None = None,
        optimizer: OptimizerCallable | None = None,
        warmup_steps: int = 20,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if warmup_steps < 0:
            raise ConfigurationError(
                f"`warmup_steps` must be 0 or above. Found {warmup_steps}. Use 0 for no warm-up."
            )
        self.model = model
        self.objective = objective if objective is not None else NLL()
        self.optimizer = check_optimizer(optimizer or _default_optimizer)
        self.warmup_steps = warmup_steps
        self.seed = seed

    def on_train_start(self) -> None:
        """Set train mode explicitly."""
        self.model.train()
        open_next_epoch(self.trainer)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Seed dropout from (seed, step, rank), so that a resumed run draws the same."""
        reseed(self.seed, self.trainer.global_step, self.global_rank)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Return the mean loss.

        Raises:
            NonFiniteError: It is NaN or infinite; the weights before this step are kept.
        """
        strategy, world = self.trainer.strategy, self.trainer.world_size

        def rank_sum(value: Tensor) -> Tensor:
            summed: Tensor = strategy.reduce(value.clone(), reduce_op="sum")
            return summed

        pair: Any = {"retain": batch}
        loss = objective_loss(self.objective, self.model, pair, "retain", None, rank_sum, world)
        share_statistics(self.model, rank_sum, world)
        value = loss.item()
        if not math.isfinite(value):
            raise NonFiniteError(
                f"The training loss must stay finite. Found {value} in step {self.trainer.global_step}. "
                "Lower the learning rate, or clip the gradients (`gradient_clip_val=1.0` of the trainer)."
            )
        self.log("loss/train", loss.detach(), prog_bar=True, batch_size=1)
        return loss

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Build the optimizer and its warm-up with cosine decay."""
        optimizer = self.optimizer([p for p in self.model.parameters() if p.requires_grad])
        side_argument(optimizer, None)  # one with a state for each side would move nothing
        total = max(1, int(self.trainer.estimated_stepping_batches))
        warmup = min(self.warmup_steps, total // 4)
        schedule = LambdaLR(optimizer, lambda step: warmup_cosine(step, warmup, total))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def warmup_cosine(step: int, warmup: int, total: int) -> float:
    """Return the factor on the learning rate at a step: linear up to 1, then a half cosine to 0.

    >>> [round(warmup_cosine(step, 2, 6), 2) for step in range(7)]
    [0.5, 1.0, 1.0, 0.85, 0.5, 0.15, 0.0]
    """
    if step < warmup:
        return (step + 1) / warmup
    done = min(1.0, (step - warmup) / max(1, total - warmup))
    return 0.5 * (1.0 + math.cos(math.pi * done))


def _default_optimizer(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, lr=3e-3, betas=(0.9, 0.99), weight_decay=0.01, fused=True)
