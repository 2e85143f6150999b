"""EvaluateEvery: the evaluator along the path and at the end, the same code as everywhere else."""

from __future__ import annotations

import functools
import math
import time
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor

from unlearnkit.artifacts import atomic_write_json
from unlearnkit.callbacks.order import LOOKING, arrange
from unlearnkit.errors import ConfigurationError, UnknownNameError
from unlearnkit.evaluators import Evaluator, read


class EvaluateEvery(Callback):
    """Evaluate at the start, every n rounds and at the last one; keep the path; write test results.

    Unlearning is judged along its path and not at its last iterate, because methods overshoot at
    different rounds. All ranks evaluate and hold the same numbers, those of rank 0, which alone logs them. Each
    number of the summary is then ``eval/<name>`` in ``trainer.callback_metrics``, so that
    ``ModelCheckpoint(monitor="eval/score", mode="max", every_n_train_steps=10)`` beside
    ``EvaluateEvery(every=10, score=...)`` keeps the best round. A checkpoint that monitors one of these names saves
    only in rounds that were evaluated, and never for a NaN.

    Args:
        evaluator: Evaluates any model, e.g. ``TOFUEvaluator(rows=40)``.
        every: Rounds between evaluations; None evaluates in ``test`` only.
        at_start: Whether the model is evaluated before the first round, too.
        reference: File with the retrained model's evaluation (``results.json`` of its ``test``, ``evaluation.json``
            of a comparison), for the numbers that compare with it; None leaves them out.
        score: Numbers of the summary and the weight of each in one composite, their weighted sum, kept as
            ``score``, e.g. ``{model_utility: 1.0, forget_rouge: -1.0}``. It is NaN where one of them is later not
            finite, because a model that collapses must not be the best one.

    Attributes:
        path: One summary per evaluation, each with its ``round``.
        seconds: Time spent evaluating, so that it can be kept out of a method's cost.

    Raises:
        ConfigurationError: ``every`` is below 1, or ``score`` is empty or has a weight that is not finite; at the
            first evaluation: a number of ``score`` cannot be had.
        UnknownNameError: At the first evaluation: a name of ``score`` is not in the summary.
        ArtifactError: ``reference`` is not an evaluation's file.
    """

    when = LOOKING

    def __init__(
        self,
        evaluator: Evaluator,
        every: int | None = None,
        at_start: bool = True,
        reference: str | None = None,
        score: dict[str, float] | None = None,
    ) -> None:
        if every is not None and every < 1:
            raise ConfigurationError(f"`every` must be at least 1 round. Found {every}. Use e.g. every=10.")
        if score is not None and not (score and all(math.isfinite(weight) for weight in score.values())):
            raise ConfigurationError(
                "`score` must give numbers of the summary a finite weight each. "
                f"Found {score}. Use e.g. score={{'model_utility': 1.0, 'forget_rouge': -1.0}}, or null for none."
            )
        self.evaluator = evaluator
        self.every = every
        self.at_start = at_start
        self.reference = None if reference is None else read(reference)
        self.score = score
        self.path: list[dict[str, Any]] = []
        self.seconds = 0.0
        self._watched: list[ModelCheckpoint] = []

    @property
    def state_key(self) -> str:
        """Tell several of them in one trainer apart."""
        return self._generate_state_key(every=self.every, at_start=self.at_start)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Act before what acts on evaluations; have checkpoints look at fresh and finite numbers only."""
        arrange(trainer)
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            monitored = isinstance(callback, ModelCheckpoint) and (callback.monitor or "").startswith("eval/")
            if monitored and callback not in self._watched:
                self._watched.append(callback)
                self._watch(callback)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Evaluate the model as it is before the first round (not again after a resume)."""
        if self.path:
            self._publish(trainer, self.path[-1])
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
        found = self.evaluator.evaluate(pl_module.model, datamodule, self.reference)["summary"]
        summary: dict[str, Any] = trainer.strategy.broadcast(found)
        if self.score is not None:
            summary = {**summary, "score": self._composite(summary)}
        self.path.append({"round": int(trainer.global_step), **summary})
        self._publish(trainer, summary)
        numbers = {f"eval/{name}": float(value) for name, value in summary.items() if value is not None}
        if trainer.is_global_zero:
            for logger in trainer.loggers:
                logger.log_metrics(numbers, step=trainer.global_step)
        self.seconds += time.perf_counter() - started

    def _composite(self, summary: dict[str, Any]) -> float:
        """Return the weighted sum, NaN where a part is not finite any more."""
        assert self.score is not None
        for name in () if self.path else self.score:
            if name not in summary:
                raise UnknownNameError.among("score", name, summary)
            if summary[name] is None:
                raise ConfigurationError(
                    f"`score` must be made of numbers that this evaluation has. Found {name!r}, which is missing. "
                    "Give what it needs (forget quality: `reference`), or leave it out."
                )
        parts = [weight * _number(summary.get(name)) for name, weight in self.score.items()]
        total = sum(parts)
        return total if math.isfinite(total) else math.nan

    def _publish(self, trainer: Trainer, summary: dict[str, Any]) -> None:
        """Let other callbacks read the numbers; one that is missing now must not stay as it was."""
        for name, value in summary.items():
            key = f"eval/{name}"
            if name != "round" and (value is not None or key in trainer.callback_metrics):
                trainer.callback_metrics[key] = torch.tensor(_number(value), dtype=torch.float64)

    def _watch(self, checkpoint: ModelCheckpoint) -> None:
        """Have a checkpoint pass over rounds that were not evaluated here, and numbers that are none."""
        check = checkpoint.check_monitor_top_k
        name = str(checkpoint.monitor).removeprefix("eval/")

        @functools.wraps(check)
        def checked(trainer: Trainer, current: Tensor | None = None) -> bool:
            last = self.path[-1] if self.path else {}
            if name in last and (last["round"] != trainer.global_step or current is None or current.isnan()):
                return False
            return bool(check(trainer, current))

        checkpoint.check_monitor_top_k = checked  # type: ignore[method-assign]

    def state_dict(self) -> dict[str, Any]:
        """Return the path so far."""
        return {"path": self.path, "seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the path."""
        self.path = list(state_dict["path"])
        self.seconds = float(state_dict["seconds"])


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)
