"""LightningHost: what a strategy talks to inside a training run."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import torch
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule

from unlearnkit.batches import ForgetRetainBatch, Side
from unlearnkit.errors import ConfigurationError
from unlearnkit.gradients import clip_
from unlearnkit.host import (
    StepMask,
    gradients_unless,
    restart,
    scaled_learning_rate,
    side_argument,
    standing_still,
    take_gradients,
)
from unlearnkit.modules.effects import StepEffects
from unlearnkit.reduction import SampleWeights, accumulated_gradients, objective_loss
from unlearnkit.sharding import reshard, scale_, sharded_modules

if TYPE_CHECKING:
    from unlearnkit.modules.unlearning import UnlearningModule


class LightningHost:
    """Offer losses, gradients and steps to a strategy through Lightning's manual optimization.

    Backward passes go through ``manual_backward``, because only there does DDP reduce. A round counts
    once in ``global_step``, however many optimizer steps it makes, because ``max_steps``,
    checkpoints and loggers count rounds.

    Args:
        module: The module whose model, objectives and optimizer are used.
    """

    def __init__(self, module: UnlearningModule) -> None:
        self.module = module
        self.lr_scale = 1.0
        self.held: set[Side] = set()
        self.mask: StepMask | None = None
        self.sample_weights: SampleWeights | None = None
        self._sharded: list[FSDPModule] | None = None
        self._effects: StepEffects | None = None
        self._last_good: str | None = None

    @property
    def model(self) -> nn.Module:
        """The module's model."""
        return self.module.model

    @property
    def place(self) -> tuple[int, int]:
        """This rank, and the number of ranks."""
        return int(self.module.global_rank), int(self.module.trainer.world_size)

    @property
    def reference(self) -> Callable[[], Any]:
        """Returns the module's frozen target, where it has built one."""
        return self.module.reference

    @property
    def parameters(self) -> list[nn.Parameter]:
        """The trainable parameters of the model, in its order; under FSDP2 the shards, never gathered copies."""
        self.settle()
        return [p for p in self.module.model.parameters() if p.requires_grad]

    def settle(self) -> None:
        """Drop gathered copies of sharded parameters; nothing where parameters are whole."""
        if self.module.device_mesh is not None:
            if self._sharded is None:
                self._sharded = sharded_modules(self.module.model)
            reshard(self._sharded)

    @property
    def names(self) -> list[str]:
        """Names of the trainable parameters within the model, in its order."""
        return [name for name, p in self.module.model.named_parameters() if p.requires_grad]

    @property
    def round(self) -> int:
        """Rounds completed so far: the trainer's own counter, so a resumed run goes on from it."""
        return int(self.module.trainer.global_step)

    @round.setter
    def round(self, value: int) -> None:
        steps = self.module.trainer.fit_loop.epoch_loop.manual_optimization.optim_step_progress
        for _ in range(value - self.round):
            steps.increment_ready()
            steps.increment_completed()

    @property
    def last_good(self) -> str | None:
        """The last checkpoint that was written and was there when this round began, if any."""
        return self._last_good

    @property
    def pass_rounds(self) -> dict[Side, int] | None:
        """Rounds of a pass over each side, which a data module of unlearnkit knows."""
        found: dict[Side, int] | None = getattr(
            getattr(self.module.trainer, "datamodule", None), "pass_rounds", None
        )
        return found

    def remember_checkpoint(self) -> None:
        """Note the checkpoint there is: while the next one is being written, its callback names that."""
        callback = self.module.trainer.checkpoint_callback
        path = getattr(callback, "last_model_path", "") or getattr(callback, "best_model_path", "")
        self._last_good = path or None

    def objective(self, side: Side) -> Any:
        """Return one side's objective.

        Raises:
            ConfigurationError: There is none.
        """
        objective = self.module.objective(side)
        if objective is None:
            raise ConfigurationError(
                f"`{side}` must be an objective because {type(self.module.strategy).__name__} asks for that "
                f"side's loss. Found None. Pass e.g. `{side}={'NLL()' if side == 'retain' else 'AscentNLL()'}`."
            )
        return objective

    def loss(self, side: Side, batch: ForgetRetainBatch) -> Tensor:
        """Return one side's mean loss over all ranks, attached to the graph (unless the side is held)."""
        module = self.module
        world = module.trainer.world_size
        self.settle()
        with gradients_unless(side in self.held):
            return objective_loss(
                self.objective(side),
                module.model,
                batch,
                side,
                module.reference,
                self.rank_sum,
                world,
                self._weights(side),
            )

    def _weights(self, side: Side) -> SampleWeights | None:
        return self.sample_weights if side == "forget" else None

    def backward(self, loss: Tensor) -> list[Tensor]:
        """Backpropagate (reducing over ranks) and take the gradients, without fp16's loss scale."""
        self.module.manual_backward(loss)
        gradients = take_gradients(self.parameters)
        strategy = self.module.trainer.strategy
        if isinstance(strategy, DDPStrategy) and strategy._ddp_kwargs.get("gradient_as_bucket_view"):
            # The next backward writes into the same bucket: a reference would silently change.
            gradients = [gradient.clone() for gradient in gradients]
        scale = self._loss_scale()
        if scale is not None:
            scale_(gradients, scale.reciprocal())
        return gradients

    def _accumulate(self, loss: Tensor) -> None:
        strategy = self.module.trainer.strategy
        if isinstance(strategy, DDPStrategy) and strategy._ddp_kwargs.get("static_graph"):
            raise ConfigurationError(
                "`static_graph` of DDP must be off where a batch comes in micro-batches: it counts the backward "
                "passes that do not reduce, and the replicas drift apart without a word. Found it on. Leave "
                "static_graph out, or hand in one batch a side."
            )
        # Not `manual_backward`: it would make DDP reduce, and the last micro-batch's reduces all of them.
        scaler = self._scaler
        (loss if scaler is None else scaler.scale(loss)).backward()

    def gradients(self, side: Side, batch: ForgetRetainBatch) -> tuple[Tensor, list[Tensor]]:
        """Return one side's loss and gradients, masked, and clipped where the module says so; zeros for a held side."""
        module = self.module
        if side in self.held:
            return self.loss(side, batch), [torch.zeros_like(p) for p in self.parameters]
        if not isinstance(batch[side], (list, tuple)):  # the number of parts may differ between ranks
            attached = self.loss(side, batch)
            loss, gradients = attached.detach(), self.backward(attached)
        else:
            self.settle()
            loss, gradients = accumulated_gradients(
                self.objective(side),
                module.model,
                batch,
                side,
                module.reference,
                self.rank_sum,
                self._accumulate,
                self.backward,
                module.trainer.world_size,
                self._weights(side),
            )
        if self.mask is not None:
            self.mask.project_(gradients, side)
        if module.side_clip is not None:
            clip_(gradients, module.side_clip)
        return loss, gradients

    def restart(self, values: list[Tensor]) -> None:
        """Write these values into the parameters and empty the optimizer's state."""
        restart(self.parameters, values, cast(Any, self.module.optimizers()).optimizer)

    def apply(self, gradients: list[Tensor], side: Side | None = None) -> None:
        """Mask, clip, and let the optimizer step at the scheduled learning rate times ``lr_scale``, within the mask."""
        parameters = self.parameters
        if self.mask is not None:
            self.mask.project_(gradients, side)
        if self.module.clip is not None:
            clip_(gradients, self.module.clip)
        scale = self._loss_scale()
        if scale is not None:
            # fp16's scaler divides by its scale before the step; a normalized direction never carried it.
            scale_(gradients, scale)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        optimizer = cast(Any, self.module.optimizers()).optimizer
        with (
            scaled_learning_rate(optimizer, self.lr_scale),
            standing_still(self.mask, parameters, optimizer),
        ):
            # Lightning's wrapper would count every call as a step; a round is counted by `round`.
            self.module.trainer.strategy.optimizer_step(optimizer, _nothing, **side_argument(optimizer, side))
        optimizer.zero_grad(set_to_none=True)

    def require_same_kind(self, batch: ForgetRetainBatch) -> None:
        """Refuse batches on one rank and lists on another: their exchanges differ, and both would wait for ever.

        Under FSDP2 each forward pass is an exchange, so lists must be as long on all ranks, too.

        Raises:
            ConfigurationError: The ranks hand in different kinds, or different numbers under FSDP2.
        """
        module = self.module
        world = module.trainer.world_size
        sizes = [len(batch[s]) if isinstance(batch[s], (list, tuple)) else 0 for s in module.strategy.sides]
        own = torch.tensor(
            [[size > 0, size, size**2] for size in sizes], dtype=torch.float64, device=module.device
        )
        for lists, total, squares in self.rank_sum(own).tolist():
            if lists not in (0, world):
                raise ConfigurationError(
                    "`batch` must be of one kind on all ranks: a batch a side, or a list of micro-batches. Found lists "
                    f"on {int(lists)} of {world} ranks. Wrap single batches in a list of one."
                )
            if module.device_mesh is not None and total**2 != world * squares:
                raise ConfigurationError(
                    "`batch` must hold as many micro-batches of a side on every rank under FSDP2, where each forward "
                    f"pass is an exchange between ranks. Found {int(total)} in all on {world} ranks, unevenly spread. "
                    "Fill up with empty micro-batches, or let a data module's `micro_batch_size` cut them."
                )

    def logged(self, round_: int) -> bool:
        """Say whether a logger keeps the values of this round (each ``log_every_n_steps`` one)."""
        every = int(getattr(self.module.trainer, "log_every_n_steps", 0))
        return every > 0 and (round_ + 1) % every == 0

    def observe(self, gradients: dict[Side, list[Tensor]]) -> None:
        """Keep both gradients of a round that is logged, to compare them with the step."""
        if self.module.trainer.loggers and self.logged(self.round):
            self._effects = StepEffects(self.parameters, gradients)

    def take_effects(self) -> dict[Side, Tensor]:
        """Return the first-order effects of the step just made, once; nothing where none was observed."""
        effects, self._effects = self._effects, None
        return {} if effects is None else effects.measure()

    def lower_loss_scale(self) -> None:
        """Do after a skipped step what fp16's scaler does after one: lower its scale, and wait before raising it."""
        if self._scaler is not None:
            state = self._scaler.state_dict()
            state |= {"scale": state["scale"] * state["backoff_factor"], "_growth_tracker": 0}
            self._scaler.load_state_dict(state)

    @property
    def _scaler(self) -> Any:
        return getattr(self.module.trainer.precision_plugin, "scaler", None)

    def _loss_scale(self) -> Tensor | None:
        """Return fp16's loss scale, a 0-d tensor on the device (``get_scale`` would synchronise), or None."""
        scaler = self._scaler
        return None if scaler is None else scaler.scale(torch.ones((), device=self.module.device))

    def rank_sum(self, value: Tensor) -> Tensor:
        """Return the sum of a tensor over all ranks."""
        return cast(Tensor, self.module.trainer.strategy.reduce(value.clone(), reduce_op="sum"))


def _nothing() -> None:
    """Stand in for a closure: gradients are already there."""


def reseed(seed: int, round_: int, rank: int) -> None:
    """Seed the global generators from (seed, round, rank), so that dropout and noise resume too."""
    import hashlib
    import random

    import numpy as np

    word = int.from_bytes(hashlib.sha256(f"{seed}/{round_}/{rank}".encode()).digest()[:4], "big")
    torch.manual_seed(word)
    random.seed(word)
    np.random.seed(word)
