"""CollapseGuard: back to the last healthy state when the retain loss or the weights run away."""

from __future__ import annotations

import logging
import math
from typing import Any, Literal, get_args

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn

from unlearnkit.callbacks.gen import GeN
from unlearnkit.callbacks.measure import nll_totals
from unlearnkit.callbacks.order import MOVING, arrange
from unlearnkit.callbacks.snapshot import Snapshot
from unlearnkit.callbacks.stored_snapshot import load, store
from unlearnkit.errors import ConfigurationError, NonFiniteError, UnknownNameError
from unlearnkit.gradients import squared_norm

log = logging.getLogger("unlearnkit")

Against = Literal["start", "last"]
"""What a state is compared with: the model before the first round, or the last healthy state."""


class CollapseGuard(Callback):
    """Put model, optimizer and strategy back to the last healthy state when the run runs away, and go on slower.

    A state is healthy when the norm of the trainable parameters and the mean negative log-likelihood of the round's
    retain batch (both every n rounds, after the step, in eval mode) are finite and within their factors. A healthy
    one is kept; an unhealthy one is replaced by the kept one and the learning rate, GeN's own scale included, is
    multiplied by ``lr_factor``. A loss that is NaN or infinite within a round does the same instead of ending the
    run. Rounds, data and schedule go on. All ranks see the same numbers and act in the same round; under FSDP2 each
    keeps its own shards.

    The kept state is one more copy of trainable parameters and optimizer state, in memory and in every checkpoint, so
    that a resumed run goes on with the same bits; under FSDP2 each rank writes and reads its shards of it. After
    ``fit`` it lies in the CPU's memory until the next one, for a checkpoint that is saved then. The learning rate's
    scale is put back after ``fit`` (with GeN, which sets it, GeN's stays). The next ``fit`` begins anew.

    Args:
        every: Rounds between looks, each one forward pass of the round's retain batch and one wait for the device. A
            checkpoint due in between may meet a loss that is not finite, and stop the run as it would without guard.
        retain_factor: Largest retain loss, as a multiple of the one it is compared with.
        floor: Retain loss, nats per unit, that a smaller one is compared as: a target knows its retain data by heart,
            and any change is a large multiple of almost nothing.
        norm_factor: Largest norm of the trainable parameters, as a multiple; None looks for NaN and infinity only.
        against: What is compared with: ``start``, the model before its first round, or ``last``, the last healthy
            state, which lets a slow drift pass.
        lr_factor: What the learning rate is multiplied by after each return.
        max_rollbacks: Returns after which the next one also stops training, in the healthy state.
        offload: Whether the copy is kept in the CPU's memory.

    Attributes:
        rollbacks: Returns so far.
        history: For each of them the round, the round gone back to and the reason.

    Raises:
        ConfigurationError: A number is out of its range; at the start of ``fit``: the module is no UnlearningModule;
            before the first round: its batch has no retain side.
        UnknownNameError: ``against`` is neither ``start`` nor ``last``.
        NonFiniteError: The model is broken before the first round.

    >>> CollapseGuard(every=2, max_rollbacks=1).rollbacks
    0

    In a YAML::

        callbacks:
          - class_path: CollapseGuard
            init_args: {every: 5, retain_factor: 3.0, lr_factor: 0.5}
    """

    when = MOVING

    def __init__(
        self,
        every: int = 5,
        retain_factor: float = 3.0,
        floor: float = 0.5,
        norm_factor: float | None = 2.0,
        against: Against = "start",
        lr_factor: float = 0.5,
        max_rollbacks: int = 3,
        offload: bool = False,
    ) -> None:
        if every < 1:
            raise ConfigurationError(f"`every` must be at least 1 round. Found {every}. Use e.g. every=5.")
        for name, value in {"retain_factor": retain_factor, "norm_factor": norm_factor}.items():
            if value is not None and not 1.0 < value < math.inf:
                raise ConfigurationError(
                    f"`{name}` must be finite and above 1, a multiple of the healthy value. Found {value}. "
                    f"Use e.g. {name}=3.0."
                )
        if not 0.0 <= floor < math.inf:
            raise ConfigurationError(
                f"`floor` must be 0 or above, in nats. Found {floor}. Use e.g. floor=0.5."
            )
        if not 0.0 < lr_factor <= 1.0:
            raise ConfigurationError(
                f"`lr_factor` must be above 0 and at most 1. Found {lr_factor}. Use e.g. lr_factor=0.5."
            )
        if max_rollbacks < 0:
            raise ConfigurationError(
                f"`max_rollbacks` must be 0 or above. Found {max_rollbacks}. Use 0 to stop at the first."
            )
        if against not in get_args(Against):
            raise UnknownNameError.among("against", str(against), get_args(Against))
        self.every = every
        self.retain_factor = retain_factor
        self.floor = floor
        self.norm_factor = norm_factor
        self.against: Against = against
        self.lr_factor = lr_factor
        self.max_rollbacks = max_rollbacks
        self.offload = offload
        self._begin()

    def _begin(self) -> None:
        """Know nothing of any run."""
        self.rollbacks = 0
        self.history: list[dict[str, Any]] = []
        self.snapshot: Snapshot | None = None
        self._healthy: dict[str, dict[str, float]] = {}
        self._kept: dict[str, Any] = {}
        self._scale: float | None = None
        self._scale_before: float | None = None
        self._pending: str | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Act after GeN has settled the round and before anybody looks; begin each fit anew, before a resume."""
        arrange(trainer)
        if stage == "fit":
            self._begin()

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check the module."""
        module: Any = pl_module
        if not all(hasattr(module, name) for name in ("host", "strategy", "guard")):
            raise ConfigurationError(
                "`callbacks` may hold CollapseGuard only with an UnlearningModule, whose rounds it can undo. "
                f"Found {type(module).__name__}. Remove it, or train with UnlearningModule."
            )

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stand by for losses that are not finite; apply the scale of a resumed run."""
        module: Any = pl_module
        module.guard = self._catch
        if _gen(trainer) is None:
            self._scale_before = module.host.lr_scale
            if self._scale is not None:
                module.host.lr_scale = self._scale

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Keep the state before the first round."""
        if self.snapshot is not None:
            return
        module: Any = pl_module
        if not isinstance(batch, dict) or "retain" not in batch:
            raise ConfigurationError(
                "`batch` must have a retain side, on which CollapseGuard sees the model collapse. Found none. "
                "Use a data module that feeds forget and retain batches, or remove the guard."
            )
        numbers = _look(module, batch)
        if not all(map(math.isfinite, numbers.values())):
            raise NonFiniteError(
                f"The retain loss and the parameters' norm must be finite before round {trainer.global_step}. Found "
                f"{numbers['loss']} and {numbers['norm']}. Start from a model that is whole."
            )
        self._healthy.setdefault("start", numbers)
        self._keep(trainer, module, numbers)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Look at the state after the round; keep it or go back."""
        module: Any = pl_module
        numbers: dict[str, float] = {}
        reason, self._pending = self._pending, None
        if reason is None and trainer.global_step % self.every == 0:
            numbers = _look(module, batch)
            reason = self._fault("norm", numbers["norm"]) or self._fault("loss", numbers["loss"])
        if reason is not None:
            self._roll_back(trainer, module, reason)
        elif numbers:
            self._keep(trainer, module, numbers)
        self._scale = module.host.lr_scale
        names = {"norm": "guard/parameter_norm", "loss": "guard/retain_loss"}
        values = {names[name]: value for name, value in numbers.items()}
        pl_module.log_dict(values | {"guard/rollbacks": float(self.rollbacks)}, batch_size=1)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Leave the module without a guard and at its own rate, and give the device's memory back."""
        if stage == "fit":
            self._leave(pl_module)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Do the same after an error, when there is no teardown."""
        self._leave(pl_module)

    def _leave(self, module: Any) -> None:
        if getattr(module, "guard", None) == self._catch:
            module.guard = None
        if self._scale_before is not None:
            module.host.lr_scale, self._scale_before = self._scale_before, None
        if self.snapshot is not None:
            self.snapshot = self.snapshot.on_cpu()

    def _catch(self, error: NonFiniteError) -> bool:
        """Take over a round that broke; GeN and others see a model that did not move, and then it is put back."""
        self._pending = ". ".join(str(error).split(". ")[:2]) + "."  # rule and value, without path and remedy
        return self.snapshot is not None

    def _fault(self, name: str, value: float) -> str | None:
        """Say how a number ran away, or None."""
        what, factor, floor = {
            "norm": ("The norm of the parameters", self.norm_factor, 0.0),
            "loss": ("The retain loss", self.retain_factor, self.floor),
        }[name]
        limit = math.inf if factor is None else factor * max(self._healthy[self.against][name], floor)
        if math.isfinite(value) and value <= limit:
            return None
        return f"{what} is {value:.4g}, healthy is up to {limit:.4g}."

    def _keep(self, trainer: Trainer, module: Any, numbers: dict[str, float]) -> None:
        self.snapshot = None  # before the next copy is made
        self.snapshot = Snapshot.take(module, self.offload)
        self._healthy["last"] = numbers
        gen = _gen(trainer)
        self._kept = {
            "round": int(trainer.global_step),
            "scale": module.host.lr_scale,
            "length": None if gen is None else gen.core.held,
        }

    def _roll_back(self, trainer: Trainer, module: Any, reason: str) -> None:
        assert self.snapshot is not None
        self.snapshot.restore(module)
        self._slow_down(trainer, module)
        self.rollbacks += 1
        self.history.append({"round": int(trainer.global_step), "to": self._kept["round"], "reason": reason})
        stops = self.rollbacks > self.max_rollbacks
        trainer.should_stop = trainer.should_stop or stops
        if trainer.is_global_zero:
            then = "training stops, this was the last return" if stops else "the learning rate is lowered"
            log.warning(
                "CollapseGuard went back from round %d to the state after round %d; %s (`max_rollbacks=%d`): %s",
                trainer.global_step, self._kept["round"], then, self.max_rollbacks, reason,
            )  # fmt: skip

    def _slow_down(self, trainer: Trainer, module: Any) -> None:
        """Multiply the rate, that of the kept state or of now, whichever is lower, so that returns add up."""
        self._kept["scale"] = module.host.lr_scale = self.lr_factor * _lower(
            module.host.lr_scale, self._kept["scale"]
        )
        gen = _gen(trainer)
        if gen is None:
            return
        gen.core.scale = module.host.lr_scale
        if gen.core.held is not None:
            kept = self._kept["length"]
            lower = gen.core.held if kept is None else _lower(gen.core.held, kept)
            gen.core.held = self._kept["length"] = self.lr_factor * lower

    def state_dict(self) -> dict[str, Any]:
        """Return what the kept state is compared with, and what happened so far."""
        return {
            "rollbacks": self.rollbacks,
            "history": self.history,
            "healthy": self._healthy,
            "kept": self._kept,
            "scale": self._scale,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what ``state_dict`` returned."""
        self.rollbacks = int(state_dict["rollbacks"])
        self.history = list(state_dict["history"])
        self._healthy = dict(state_dict["healthy"])
        self._kept = dict(state_dict["kept"])
        self._scale = state_dict["scale"]

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add the kept state."""
        if self.snapshot is not None:
            own = checkpoint["callbacks"][self.state_key]
            own["snapshot"] = store(self.snapshot, pl_module, checkpoint)

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Take the kept state over, before ``load_state_dict`` gets a copy of the rest."""
        stored = checkpoint["callbacks"].get(self.state_key, {}).pop("snapshot", None)
        path: Any = trainer.ckpt_path
        if stored is not None and trainer.state.fn == TrainerFn.FITTING:
            self.snapshot = load(stored, pl_module, trainer.strategy.broadcast(path), self.offload)


def _gen(trainer: Trainer) -> GeN | None:
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    return next((callback for callback in callbacks if isinstance(callback, GeN)), None)


def _lower(now: float, kept: float) -> float:
    return min(now, kept) if math.isfinite(now) else kept


def _look(module: Any, batch: Any) -> dict[str, float]:
    """Return the trainable parameters' norm and the mean negative log-likelihood of the round's retain batch, nats.

    Both are over all ranks, and both are waited for at once.
    """
    retain = batch["retain"]
    micro = retain if isinstance(retain, (list, tuple)) else [retain]
    with torch.no_grad():
        square = squared_norm([p.detach() for p in module.host.parameters])
    totals = nll_totals(module, [(one, 1.0) for one in micro])
    norm, total, count = torch.cat([square.sqrt().reshape(1), totals]).tolist()
    return {"norm": norm, "loss": total / count if count else math.nan}
