"""What is minimised on one side: per-sample sums and counts, reduced exactly by the host."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple, Protocol

from torch import Tensor, nn

from unlearnkit.batches import Side
from unlearnkit.errors import ConfigurationError

Reference = Callable[[], "UnlearnableModel"]
"""Returns the frozen reference model (the target before unlearning)."""


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
        needs_reference: Whether ``forward`` calls the reference model.
    """

    role: ClassVar[Side] = "retain"
    needs_reference: ClassVar[bool] = False

    def forward(self, model: UnlearnableModel, batch: Any, reference: Reference | None = None) -> PerSample:
        """Return sums and counts per sample.

        Args:
            model: The model being trained.
            batch: One side's batch.
            reference: Returns the frozen target, where the objective compares with it.
        """
        raise NotImplementedError

    def penalty(self, model: UnlearnableModel) -> Tensor | None:
        """Return a parameter-space term (counted once, not once a rank), or None."""
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


def require_positive(argument: str, value: float) -> float:
    """Return the value.

    Raises:
        ConfigurationError: The value is not above zero.
    """
    if not value > 0.0:
        raise ConfigurationError(f"`{argument}` must be above 0. Found {value}. Use e.g. {argument}=0.1.")
    return value
