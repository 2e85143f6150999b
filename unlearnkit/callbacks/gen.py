"""GeN as a Lightning callback: the hooks around ``unlearnkit.gradients.gen_step``."""

from __future__ import annotations

from typing import Any, Literal

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from unlearnkit.errors import ConfigurationError
from unlearnkit.gradients.gen_step import Fit, GeNCore, Hold
from unlearnkit.gradients.parabola import Preset


class GeN(Callback):
    """Set the learning rate by the retain loss's parabola along a whole round (paper 001, section 3.3).

    Learning rate = scheduled rate x scale; GeN sets the scale and never the optimizer's rate, so any
    schedule goes on as written and parameter groups keep their ratios. A fit costs two forward passes
    with ``paper`` (three in the first two fits, and where the model is random in training), three with
    ``autogen``; the safeguard's search in the first round 4 to 20, rarely more. Under mixed precision they
    run in the parameters' type. Between probes and its return the model is put back, and GeN moves
    itself to the front of the trainer's callbacks: averages, evaluations and checkpoints see only
    accepted points.

    Args:
        every: Rounds between fits; round 0 is always fitted.
        preset: ``paper``: the round's own retain batch, the minimiser r* at once. ``autogen``: a fresh
            batch of the data module, r* clipped to [1/2, 2], a tenth of the way.
        probe: ``step`` probes at the round's own displacement; a number at that length.
        hold: What stays between fits: ``rate``, ``length`` (of the displacement), or ``auto``: the rate
            for normalized directions, else the length.
        safeguard: Search the probe's reach in the first round, so that the start rate hardly matters.

    Raises:
        ConfigurationError: A number is out of its range; at the start of ``fit``: the strategy has no
            retain side, the module is no UnlearningModule, or ``autogen`` finds no fresh batches.
        UnknownNameError: A name is none of the above.

    >>> GeN(every=10).state_dict()["scale"]
    1.0
    """

    def __init__(
        self,
        every: int = 10,
        preset: Preset = "paper",
        probe: Literal["step"] | float = "step",
        hold: Hold = "auto",
        safeguard: bool = True,
    ) -> None:
        self.core = GeNCore(every, preset, probe, hold, safeguard)
        self.last_fit: Fit | None = None
        self._round = 0

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Go first: no other callback may see a step before it is accepted."""
        callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
        callbacks.remove(self)
        callbacks.insert(0, self)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check module, strategy and data before anything is computed."""
        module: Any = pl_module
        if not all(hasattr(module, name) for name in ("host", "loss_on", "last_report", "strategy")):
            raise ConfigurationError(
                "`callbacks` may hold GeN only with an UnlearningModule, whose host scales the rate. "
                f"Found {type(module).__name__}. Remove GeN, or train with UnlearningModule."
            )
        self.core.attach(module.strategy)
        if self.core.preset == "autogen" and not hasattr(_datamodule(trainer), "probe_batch"):
            raise ConfigurationError(
                "`preset='autogen'` needs fresh retain batches from the data module's probe_batch(side, round). "
                f"Found {type(_datamodule(trainer)).__name__}. Use a data module of unlearnkit, or preset='paper'."
            )

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Apply the scale of a resumed run (1 in a fresh one)."""
        module: Any = pl_module
        module.host.lr_scale = self.core.scale

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Keep the parameters as they are before the round, where they are needed."""
        module: Any = pl_module
        self._round = int(module.host.round)
        self.core.begin(module.host, module.model)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Fit, move to the accepted point, set the scale, log."""
        module: Any = pl_module
        own: Tensor | None = None
        fresh: list[Any] = []
        if self.core.preset == "paper":
            fresh.append(batch["retain"])
            own = module.last_report.losses.get("retain")

        def loss() -> tuple[Tensor, Tensor]:
            if not fresh:  # drawn where a fit is due, and once
                fresh.append(self._fresh_batch(trainer))
            found: tuple[Tensor, Tensor] = module.loss_on("retain", fresh[0])
            return found

        fit = self.core.end(module.host, loss, own)
        values = {"gen/scale": self.core.scale}
        if fit is not None:
            self.last_fit = fit
            values |= {"gen/slope": fit.parabola.slope, "gen/curvature": fit.parabola.curvature}
            values |= {"gen/multiplier": fit.multiple}
            values |= {"gen/refused": float(sum(self.core.refusals.values()))}
        pl_module.log_dict(values, batch_size=1)

    def _fresh_batch(self, trainer: Trainer) -> Any:
        batch = _datamodule(trainer).probe_batch("retain", self._round)
        return trainer.precision_plugin.convert_input(trainer.strategy.batch_to_device(batch))

    def state_dict(self) -> dict[str, Any]:
        """Return scale, held length and counts."""
        return self.core.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the scale, the held length and the counts of the run that is resumed."""
        self.core.load_state_dict(state_dict)


def _datamodule(trainer: Trainer) -> Any:
    return getattr(trainer, "datamodule", None)
