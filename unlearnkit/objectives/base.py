"""What is minimised on one side: per-sample sums and counts, reduced exactly by the host."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Literal, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from unlearnkit.batches import Answers, Side
from unlearnkit.errors import ConfigurationError, UnknownNameError

Reference = Callable[[], "UnlearnableModel"]
"""Returns the frozen reference model (the target before unlearning)."""

Parity = Literal["paper", "open-unlearning"]
"""Whether to compute what a paper says, or the number of the public code base where that is another one."""


class UnlearnableModel(Protocol):
    """What an objective needs of a model (see ``unlearnkit.models``)."""

    def losses(self, batch: Any) -> Tensor:
        """Return the negative log-likelihood summed over each sample's scored units, [batch], nats."""
        ...

    def counts(self, batch: Any) -> Tensor:
        """Return the number of scored units of each sample, [batch]."""
        ...

    def units(self, batch: Any) -> tuple[Tensor, Tensor, Tensor]:
        """Return logits [batch, units, classes], targets [batch, units] and mask [batch, units]."""
        ...


class PerSample(NamedTuple):
    """An objective's value per sample; the loss is ``sum(sums) / sum(counts)`` over all ranks.

    Attributes:
        sums: [batch], nats, attached to the graph.
        counts: [batch], how many units each sum runs over.
    """

    sums: Tensor
    counts: Tensor


class Objective(nn.Module):
    """Compute what one side minimises.

    Attributes:
        role: The side the objective is made for; a hint for readers and for the module's checks.
        needs_reference: Whether the reference model is asked for.
        answers: Which second answers the batch's ``alternative`` must hold, or None where it needs none; a data
            module that has them hands them out to the side.
    """

    role: ClassVar[Side] = "retain"
    needs_reference: ClassVar[bool] = False
    answers: ClassVar[Answers | None] = None

    def forward(self, model: UnlearnableModel, batch: Any, reference: Reference | None = None) -> PerSample:
        """Return sums and counts per sample.

        Args:
            model: The model being trained.
            batch: One side's batch.
            reference: Returns the frozen target, where the objective compares with it.
        """
        raise NotImplementedError

    def bind(self, datamodule: Any) -> None:
        """Take from the run's data module what the objective was not given; most need nothing of it."""

    def penalty(self, model: UnlearnableModel, reference: Reference | None = None) -> Tensor | None:
        """Return a parameter-space term (counted once, not once a rank), 0-d, or None."""
        return None


def require_reference(reference: Reference | None, objective: Objective) -> UnlearnableModel:
    """Return the reference model.

    Raises:
        ConfigurationError: There is none.
    """
    if reference is None:
        raise ConfigurationError(
            f"`reference` must be given because {type(objective).__name__} compares with the target. "
            "Found None. Pass `reference=lambda: frozen_copy` to PlainHost; UnlearningModule makes its own."
        )
    return reference()


def require_alternative(batch: Any, objective: Objective) -> Any:
    """Return the same questions with their second answers.

    Raises:
        ConfigurationError: The batch has none.
    """
    if "alternative" not in batch:
        raise ConfigurationError(
            f"`batch` must hold an `alternative` because {type(objective).__name__} compares with a second answer to "
            f"each question. Found {sorted(batch)}. Use the data module TOFU, or "
            f"TOFU(alternatives={objective.answers!r}) where no module asks for them."
        )
    return batch["alternative"]


def require_parity(parity: str) -> Any:
    """Return the value.

    Raises:
        UnknownNameError: It is neither of the two.
    """
    if parity not in ("paper", "open-unlearning"):
        raise UnknownNameError.among("parity", str(parity), ["paper", "open-unlearning"])
    return parity


def all_logits(model: Any, batch: Any, objective: Objective) -> Tensor:
    """Return the logits of every position of token sequences, the last and padding included.

    Args:
        model: A language model.
        batch: Its batch.
        objective: Who asks, for the message.

    Returns:
        [batch, tokens, vocabulary], in fp32 or wider.

    Raises:
        ConfigurationError: The batch holds no token sequences.
    """
    if "labels" not in batch:
        raise ConfigurationError(
            f"`parity` of {type(objective).__name__} must be 'paper' where data are no token sequences: the public "
            f"code knows only these. Found a batch of {sorted(batch)}. Leave parity out."
        )
    logits: Tensor = model(batch)
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def require_positive(argument: str, value: float) -> float:
    """Return the value.

    Raises:
        ConfigurationError: The value is not above zero.
    """
    if not value > 0.0:
        raise ConfigurationError(f"`{argument}` must be above 0. Found {value}. Use e.g. {argument}=0.1.")
    return value


def require_not_negative(argument: str, value: float) -> float:
    """Return the value.

    Raises:
        ConfigurationError: The value is below zero.
    """
    if not value >= 0.0:
        raise ConfigurationError(f"`{argument}` must be 0 or above. Found {value}. Use e.g. {argument}=1.0.")
    return value
