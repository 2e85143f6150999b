"""The order in which callbacks act after a round: who moves the model, who looks at it, who acts on what was seen."""

from __future__ import annotations

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import Checkpoint

from unlearnkit.callbacks.gen import GeN

FIRST, MOVING, LOOKING, ACTING, LAST = -2, -1, 1, 2, 3
"""GeN; what moves the model; what evaluates it; what acts on evaluations; checkpoints. All others are 0."""


def arrange(trainer: Trainer) -> None:
    """Sort the trainer's callbacks by their ``when``; those of one kind keep their order.

    The trainer gets a new list, because this is called while it goes through the old one.

    >>> guard, other = Callback(), Callback()
    >>> guard.when = MOVING
    >>> trainer = Trainer(logger=False, enable_checkpointing=False, callbacks=[other, guard])
    >>> arrange(trainer)
    >>> trainer.callbacks[0] is guard
    True
    """
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    trainer.callbacks = sorted(callbacks, key=_when)  # type: ignore[attr-defined]


def _when(callback: Callback) -> int:
    if isinstance(callback, GeN):
        return FIRST
    return LAST if isinstance(callback, Checkpoint) else int(getattr(callback, "when", 0))
