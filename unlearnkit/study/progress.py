"""Progress of a comparison: what is running and how much is left."""

from __future__ import annotations

from types import TracebackType
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


class StudyProgress:
    """One bar over all runs of a comparison; on a terminal it moves, in a log it prints a line a run.

    Args:
        total: Work in all, in the unit of ``advance`` (rounds; an evaluation counts as some rounds).
        console: Where to print.
    """

    def __init__(self, total: float, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True)
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        self.total = total
        self.done = 0.0
        self.task = self.bar.add_task("starting", total=total)
        self.running = ""

    def __enter__(self) -> StudyProgress:
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()

    def start(self, running: str) -> None:
        """Say what is running now."""
        self.running = running
        self.bar.update(self.task, description=running)
        if not self.console.is_terminal:
            self.console.print(
                f"[{100 * self.done / self.total:3.0f} %] {running}", highlight=False, markup=False
            )

    def advance(self, amount: float, detail: str = "") -> None:
        """Count work done."""
        self.done = min(self.total, self.done + amount)
        description = f"{self.running} {detail}".strip()
        self.bar.update(self.task, completed=self.done, description=description)


class RoundProgress(Callback):
    """Report each round of a run to the comparison's bar.

    Args:
        progress: The bar.
        rounds: Rounds of this run.
        cost: Work of one round in the bar's unit.
    """

    def __init__(self, progress: StudyProgress, rounds: int, cost: float = 1.0) -> None:
        self.progress = progress
        self.rounds = rounds
        self.cost = cost

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count one round."""
        self.progress.advance(self.cost, f"round {trainer.global_step}/{self.rounds}")
