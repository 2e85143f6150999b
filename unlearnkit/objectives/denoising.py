"""What the objectives of diffusion models share: class and pixels that a sample is denoised with, and their draws."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from unlearnkit.errors import ConfigurationError
from unlearnkit.objectives.base import Objective

PIXELS, WRONG, REPLAYED, FISHER = 100, 101, 102, 103
"""Streams of a sample's keyed draws; the model's own noise, time step and dropout have other numbers."""


def require_classes(model: Any, objective: Objective) -> int:
    """Return the number of classes that a diffusion model is conditioned on.

    Raises:
        ConfigurationError: The model is none, or was not built yet.
    """
    traits = getattr(model, "traits", None)
    if traits is None or not callable(getattr(model, "sample", None)):
        raise ConfigurationError(
            f"`model` must be a class-conditional diffusion model for {type(objective).__name__}. Found "
            f"{type(model).__name__}{'' if traits is None else ', which cannot sample'}. Use DiffusionModel, built "
            "(`materialize`)."
        )
    classes: int = traits.classes
    return classes


def require_keys(batch: Any, objective: Objective) -> Tensor:
    """Return the keys of a batch's draws, [batch], int64.

    Raises:
        ConfigurationError: The batch has none.
    """
    if "keys" not in batch:
        raise ConfigurationError(
            f"`batch` must hold the `keys` of its samples' draws for {type(objective).__name__}. Found "
            f"{sorted(batch)}. Use the data module DiffusionImages, or add keys=row_keys(seed, round, index)."
        )
    keys: Tensor = batch["keys"]
    return keys


def conditioned(batch: Any, conditions: Tensor, inputs: Tensor | None = None) -> Any:
    """Return the batch with these classes for the network, none of them dropped, and the same draws.

    Args:
        batch: Inputs, targets, index and keys.
        conditions: Class that the network is told of each sample, [batch]; the number of classes is "no class".
        inputs: Other images, [batch, channels, height, width]; None keeps the batch's own.

    >>> sorted(conditioned({"inputs": 1, "targets": 2}, conditions=3))
    ['conditions', 'inputs', 'targets']
    """
    return {**batch, "conditions": conditions} | ({} if inputs is None else {"inputs": inputs})
