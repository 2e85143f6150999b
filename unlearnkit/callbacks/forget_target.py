"""ForgetTarget: no more ascent once the forget set looks like unseen data."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Literal, get_args

from lightning.pytorch import Callback, LightningModule, Trainer

from unlearnkit.callbacks.forget_quantity import NLL, UNSEEN, Direction, fixed_target, settled_direction
from unlearnkit.callbacks.measure import all_of, mean_nll, own_share
from unlearnkit.callbacks.order import ACTING, arrange
from unlearnkit.errors import ConfigurationError, UnknownNameError

Action = Literal["stop", "hold"]
"""What is done once the target is reached."""


class ForgetTarget(Callback):
    """Stop, or hold the forget side, when the forget set is as unlikely as for a model that never saw it.

    Ascent that goes on after a model has forgotten is what ruins its utility. The target is what the retrained
    reference has, or what the model itself has on comparable data that it was never trained on. Ranks decide
    together, on one number.

    Args:
        monitor: ``nll``, the mean negative log-likelihood per scored unit over the whole forget set, nats, measured
            here in eval mode; or a name in ``trainer.callback_metrics``, e.g. ``eval/forget_rouge``, which
            ``EvaluateEvery`` with the same ``every`` puts there.
        target: A number; the path of an evaluation of the retrained reference, whose summary has the same quantity
            (``forget_loss`` for ``nll``); or ``unseen`` (for ``nll``), measured with the current model.
        action: ``stop`` ends training; ``hold`` leaves the forget side out of the rounds until the quantity has
            gone back beyond the target by ``margin``.
        every: Rounds between looks.
        direction: Whether the quantity ``rises`` or ``falls`` while a model forgets; None settles it for ``nll``
            and the names of TOFU's summary.
        margin: Share of the target's size by which a held quantity must go back.
        unseen: Batches of unseen data, all of them on every rank (e.g. a DataLoader); None asks the data module's
            ``unseen_batches()``.

    These numbers are those of the last ``fit``; the next one begins without them.

    Attributes:
        held_rounds: Rounds that were made with the forget side held.
        reached_round: First round at which the target was reached, or None.
        value: The quantity at the last look.

    Raises:
        ConfigurationError: ``every`` is below 1, ``margin`` below 0, the target is not finite, the direction is
            not known, or ``unseen`` goes with another monitor or has no data; at the start of ``fit``: the module is
            no UnlearningModule, the strategy has no retain side to go on with, or the data have no forget samples.
        UnknownNameError: ``action`` or ``direction`` is no known name, the target's summary lacks the quantity; or
            ``monitor`` is not there when it is due.
        ArtifactError: ``target`` is not an evaluation's file.

    >>> ForgetTarget(monitor="eval/forget_rouge", target=0.4, action="hold").direction
    'falls'

    In a YAML::

        callbacks:
          - class_path: ForgetTarget
            init_args: {target: unseen, action: stop, every: 5}

    Unseen are the authors of TOFU on neither side, so some must be left out: ``--data.retain_authors=20``.
    """

    when = ACTING

    def __init__(
        self,
        monitor: str = NLL,
        target: float | str = UNSEEN,
        action: Action = "stop",
        every: int = 10,
        direction: Direction | None = None,
        margin: float = 0.05,
        unseen: Iterable[Any] | None = None,
    ) -> None:
        if every < 1:
            raise ConfigurationError(f"`every` must be at least 1 round. Found {every}. Use e.g. every=10.")
        if not (math.isfinite(margin) and margin >= 0):
            raise ConfigurationError(
                f"`margin` must be 0 or above, a share of the target. Found {margin}. Use e.g. margin=0.05."
            )
        if action not in get_args(Action):
            raise UnknownNameError.among("action", str(action), get_args(Action))
        if direction is not None and direction not in get_args(Direction):
            raise UnknownNameError.among("direction", str(direction), get_args(Direction))
        if (unseen is not None or target == UNSEEN) and not (monitor == NLL and target == UNSEEN):
            raise ConfigurationError(
                "`unseen` data are for monitor='nll' with target='unseen' only. Found "
                f"monitor={monitor!r} with target={target!r}. Use monitor='nll', or a number or the path of an "
                "evaluation as target."
            )
        self.monitor = monitor
        self.target = None if target == UNSEEN else fixed_target(target, monitor)
        self.action: Action = action
        self.every = every
        self.direction: Direction = direction if direction is not None else settled_direction(monitor)
        self.margin = margin
        self.unseen = unseen
        self.held = False
        self.held_rounds = 0
        self.reached_round: int | None = None
        self.value = math.nan

    @property
    def state_key(self) -> str:
        """Tell several of them in one trainer apart."""
        return self._generate_state_key(monitor=self.monitor, action=self.action)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Act after what evaluates, and before what saves; begin each fit anew, before a resume restores."""
        arrange(trainer)
        if stage == "fit":
            self.held = False
            self.held_rounds = 0
            self.reached_round = None
            self.value = math.nan

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check module, strategy and data before anything is computed."""
        module: Any = pl_module
        if not all(hasattr(module, name) for name in ("host", "strategy")):
            raise ConfigurationError(
                "`callbacks` may hold ForgetTarget only with an UnlearningModule, which has a forget side. "
                f"Found {type(module).__name__}. Remove it, or train with UnlearningModule."
            )
        if self.action == "hold" and "retain" not in module.strategy.sides:
            raise ConfigurationError(
                "`action='hold'` must come with a strategy that has a retain side to go on with. Found "
                f"{type(module.strategy).__name__}, pure ascent. Use action='stop', or a strategy such as NGDiff."
            )
        if self.monitor != NLL:
            return
        datamodule = _datamodule(trainer)
        if not all(hasattr(datamodule, name) for name in ("samples", "collate", "batch_sizes")):
            raise ConfigurationError(
                "`monitor='nll'` needs the forget samples of a ForgetRetainDataModule (samples, collate). Found "
                f"{type(datamodule).__name__}. Use a data module of unlearnkit, or monitor an evaluated number."
            )
        if self.target is None and self.unseen is None and not hasattr(datamodule, "unseen_batches"):
            raise ConfigurationError(
                "`target='unseen'` needs data that the model was never trained on. Found none: no `unseen`, and "
                f"{type(datamodule).__name__} has no unseen_batches(). Pass unseen=DataLoader(...), or give a number "
                "or the evaluation of a retrained model as target."
            )
        if self.target is None and self.unseen is None:
            next(
                iter(datamodule.unseen_batches()), None
            )  # refuses where there are none, before the first round

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Go on as the run that is resumed did: held, or stopped."""
        module: Any = pl_module
        if self.held:
            module.host.held.add("forget")
        if self.action == "stop" and self.reached_round is not None:
            trainer.should_stop = True

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the round, look where it is due, and act."""
        module: Any = pl_module
        self.held_rounds += self.held
        values = {}
        if trainer.global_step % self.every == 0:
            self.value, target = self._look(trainer, module)
            self._decide(trainer, module, target)
            values = {"forget_target/value": self.value, "forget_target/target": target}
        pl_module.log_dict(values | {"forget_target/held": float(self.held_rounds)}, batch_size=1)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Leave the module without a held side."""
        if stage == "fit":
            self._let_go(pl_module)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Leave the module without a held side: after an error there is no teardown."""
        self._let_go(pl_module)

    def _let_go(self, module: Any) -> None:
        # `held` itself stays, for a checkpoint that is saved now.
        if self.held:
            module.host.held.discard("forget")

    def _look(self, trainer: Trainer, module: Any) -> tuple[float, float]:
        """Return quantity and target, the same on all ranks."""
        if self.monitor == NLL:
            value = mean_nll(module, own_share(trainer, _datamodule(trainer), "forget"))
            return value, self._unseen_nll(trainer, module) if self.target is None else self.target
        metrics = trainer.callback_metrics
        if self.monitor not in metrics:
            raise UnknownNameError.among("monitor", self.monitor, [NLL, *metrics])
        assert self.target is not None
        return float(trainer.strategy.broadcast(float(metrics[self.monitor]))), self.target

    def _unseen_nll(self, trainer: Trainer, module: Any) -> float:
        batches = self.unseen if self.unseen is not None else _datamodule(trainer).unseen_batches()
        return mean_nll(module, all_of(trainer, module, batches, "unseen"))

    def _decide(self, trainer: Trainer, module: Any, target: float) -> None:
        # With both signs turned, what falls rises; a NaN decides nothing.
        sign = 1.0 if self.direction == "rises" else -1.0
        beyond = sign * (self.value - target)
        if beyond >= 0 and self.reached_round is None:
            self.reached_round = int(trainer.global_step)
        if self.action == "stop":
            trainer.should_stop = trainer.should_stop or beyond >= 0
        elif beyond >= 0:
            self.held = True
            module.host.held.add("forget")
        elif self.held and beyond < -self.margin * abs(target):
            self.held = False
            module.host.held.discard("forget")

    def state_dict(self) -> dict[str, Any]:
        """Return whether the side is held, since when and for how long."""
        return {"held": self.held, "held_rounds": self.held_rounds, "reached_round": self.reached_round}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what ``state_dict`` returned."""
        self.held = bool(state_dict["held"])
        self.held_rounds = int(state_dict["held_rounds"])
        reached = state_dict["reached_round"]
        self.reached_round = None if reached is None else int(reached)


def _datamodule(trainer: Trainer) -> Any:
    return getattr(trainer, "datamodule", None)
