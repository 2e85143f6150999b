"""EvaluateEvery: the evaluator along the path and at the end, the same code as everywhere else."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from unlearnkit.artifacts import atomic_write_json
from unlearnkit.errors import ConfigurationError
from unlearnkit.evaluators import Evaluator, read


class EvaluateEvery(Callback):
    """Evaluate at the start, every n rounds and at the last one; keep the path; write test results.

    Unlearning is judged along its path and not at its last iterate, because methods overshoot at
    different rounds.

    Args:
        evaluator: Evaluates any model, e.g. ``TOFUEvaluator(rows=40)``.
        every: Rounds between evaluations; None evaluates in ``test`` only.
        at_start: Whether the model is evaluated before the first round, too.
        reference: File with the retrained model's evaluation (``results.json`` of its ``test``, ``evaluation.json``
            of a comparison), for the numbers that compare with it; None leaves them out.

    Attributes:
        path: One summary per evaluation, each with its ``round``.
        seconds: Time spent evaluating, so that it can be kept out of a method's cost.

    Raises:
        ConfigurationError: ``every`` is below 1.
        ArtifactError: ``reference`` is not an evaluation's file.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        every: int | None = None,
        at_start: bool = True,
        reference: str | None = None,
    ) -> None:
        if every is not None and every < 1:
            raise ConfigurationError(f"`every` must be at least 1 round. Found {every}. Use e.g. every=10.")
        self.evaluator = evaluator
        self.every = every
        self.at_start = at_start
        self.reference = None if reference is None else read(reference)
        self.path: list[dict[str, Any]] = []
        self.seconds = 0.0

    @property
    def state_key(self) -> str:
        """Tell several of them in one trainer apart."""
        return self._generate_state_key(every=self.every, at_start=self.at_start)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Evaluate the model as it is before the first round (not again after a resume)."""
        if self.every is not None and self.at_start and trainer.global_step == 0:
            self._evaluate(trainer, pl_module)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Evaluate every n rounds."""
        if self.every is not None and trainer.global_step % self.every == 0:
            self._evaluate(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Evaluate the last iterate."""
        if self.every is None:
            return
        if not self.path or self.path[-1]["round"] != trainer.global_step:
            self._evaluate(trainer, pl_module)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the full evaluation as ``results.json`` into the run's folder."""
        datamodule: Any = trainer.datamodule  # type: ignore[attr-defined]
        folder = trainer.log_dir or trainer.default_root_dir  # asked on every rank, because it broadcasts
        evaluation = self.evaluator.evaluate(pl_module.model, datamodule, self.reference)
        if trainer.is_global_zero:
            atomic_write_json(Path(folder) / "results.json", evaluation)

    def _evaluate(self, trainer: Trainer, pl_module: LightningModule) -> None:
        started = time.perf_counter()
        datamodule: Any = trainer.datamodule  # type: ignore[attr-defined]
        summary = self.evaluator.evaluate(pl_module.model, datamodule)["summary"]
        self.path.append({"round": int(trainer.global_step), **summary})
        numbers = {f"eval/{name}": float(value) for name, value in summary.items() if value is not None}
        for logger in trainer.loggers:
            logger.log_metrics(numbers, step=trainer.global_step)
        self.seconds += time.perf_counter() - started

    def state_dict(self) -> dict[str, Any]:
        """Return the path so far."""
        return {"path": self.path, "seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the path."""
        self.path = list(state_dict["path"])
        self.seconds = float(state_dict["seconds"])
