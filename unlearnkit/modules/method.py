"""What made a checkpoint: the strategy and the optimizer, by name, so that a resume goes on with the same."""

from __future__ import annotations

from typing import Any

import torch

from unlearnkit.errors import MismatchError
from unlearnkit.strategies import Strategy


def method_of(strategy: Strategy, optimizer: torch.optim.Optimizer) -> dict[str, str]:
    """Return the names of a run's strategy and of what its optimizer keeps.

    >>> from unlearnkit.strategies import NGDiff
    >>> method_of(NGDiff(), torch.optim.SGD([torch.zeros(1)], lr=0.1))
    {'strategy': 'NGDiff', 'optimizer': 'SGD'}
    """
    return {
        "strategy": type(strategy).__name__,
        "optimizer": str(getattr(optimizer, "kind", type(optimizer).__name__)),
    }


def require_same_method(own: dict[str, str], checkpoint: dict[str, Any]) -> None:
    """Refuse a checkpoint of another strategy or optimizer before anything of it is taken.

    Its state would be missing, or would be read as something else: torch's optimizers take any state.

    Args:
        own: Names of the run that goes on.
        checkpoint: What was saved; one that does not say what made it is let through.

    Raises:
        MismatchError: A name differs.
    """
    saved = checkpoint.get("unlearnkit", {}).get("method", {})
    for what, name in own.items():
        theirs = saved.get(what, name)
        if theirs != name:
            raise MismatchError(
                f"`{what}` of the checkpoint must be the one that goes on, {name}. Found {theirs}. Resume with "
                f"{theirs}, or export the checkpoint's model and start a new run from it."
            )
