"""InnerProblem: the per-sample losses of candidates where the model is now, with their first and second derivatives."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from unlearnkit.errors import ConfigurationError, DataError
from unlearnkit.gradients.inner_products import (
    Method,
    SampleLosses,
    add_,
    inner_products,
    length,
    require_direction,
    require_fine,
    step_length,
)
from unlearnkit.gradients.probe import Displacement
from unlearnkit.host import eval_mode


class InnerProblem:
    """Evaluate ``sum_i w_i l_i(theta)`` and what is wanted of its derivatives, at the model's present parameters.

    Nothing here grows with the number n of candidates but vectors of n numbers. All is evaluated in eval mode and
    leaves model and gradients as they were.

    Args:
        model: The model.
        losses: Returns the losses of a batch's samples, [batch], which unlearning minimises.
        batches: The candidates, with ``index``; the same batches in the same order on every rank and each time.
        place: This process and the number of processes, which share the work of ``products``.
        rank_sum: Sums a tensor over all ranks.

    Raises:
        DataError: There is no candidate, one has no ``index``, or two have the same (on first use).

    >>> from unlearnkit.objectives import AscentNLL
    >>> from unlearnkit.testing import ToyClassifier, toy_batch
    >>> model = ToyClassifier()
    >>> problem = InnerProblem(model, lambda batch: AscentNLL()(model, batch).sums, [toy_batch(3)])
    >>> problem.rows.tolist()
    [0, 1, 2]
    """

    def __init__(
        self,
        model: nn.Module,
        losses: SampleLosses,
        batches: Iterable[Any],
        place: tuple[int, int] = (0, 1),
        rank_sum: Callable[[Tensor], Tensor] = lambda value: value,
    ) -> None:
        self.model = model
        self.losses = losses
        self.batches = batches
        self.place = place
        self.rank_sum = rank_sum
        self._indices: list[Tensor] | None = None

    @property
    def parameters(self) -> list[nn.Parameter]:
        """The trainable parameters."""
        return [p for p in self.model.parameters() if p.requires_grad]

    @property
    def rows(self) -> Tensor:
        """The candidates' rows in their data set, [n], int64, on the CPU."""
        return torch.cat(self._batch_rows())

    def _batch_rows(self) -> list[Tensor]:
        if self._indices is None:
            found = []
            for batch in self.batches:
                if "index" not in batch:
                    raise DataError(
                        "`candidates` must hold the `index` of each sample, which weights follow. Found "
                        f"{sorted(batch)}. Use a data module of unlearnkit, or add the samples' row numbers."
                    )
                found.append(batch["index"].cpu().long())
            rows = torch.cat(found) if found else torch.zeros(0)
            if not len(rows):
                raise DataError(
                    "`candidates` must hold at least one sample to forget. Found none. Check the data's forget side; "
                    "an iterator that was used up must be a list."
                )
            repeated = len(rows) - len(set(rows.tolist()))
            if repeated:
                raise DataError(
                    f"`candidates` must hold each row once. Found {repeated} repeated. Go once "
                    "through the forget side."
                )
            self._indices = found
        return self._indices

    def _own(self) -> Iterator[tuple[int, Any]]:
        rank, world = self.place
        return islice(enumerate(self.batches), rank, None, world)

    def products(self, direction: list[Tensor], method: Method = "difference") -> Tensor:
        """Return ``grad l_i . v`` of every candidate, [n], float64: each rank scores every so-manieth batch.

        Args:
            direction: v, the same on all ranks.
            method: As for ``inner_products``.
        """
        sizes = [len(rows) for rows in self._batch_rows()]
        rank, world = self.place
        own = inner_products(self.losses, self.model, _Own(self), direction, method)
        found = [torch.zeros(size, dtype=torch.float64) for size in sizes]
        found[rank::world] = torch.split(own, sizes[rank::world]) if len(own) else []
        # Every other rank adds zeros: the sum has the bits that one process alone would find.
        return self.rank_sum(torch.cat(found).to(self.parameters[0].device)).cpu()

    def gradient(self, weights: Tensor) -> list[Tensor]:
        """Return the gradient of ``sum_i w_i l_i``, one tensor per trainable parameter, on this rank alone.

        Args:
            weights: w, [n], in the order of ``rows``; batches without weight are left out.
        """
        parameters = self.parameters
        total = [torch.zeros_like(p) for p in parameters]
        parts = torch.split(weights, [len(rows) for rows in self._batch_rows()])
        with (
            eval_mode(self.model),
            torch.autocast(parameters[0].device.type, enabled=False),
            torch.enable_grad(),
        ):
            for part, batch in zip(parts, self.batches, strict=True):
                if not part.any():
                    continue
                losses = self.losses(batch)
                whole = (part.to(losses) * losses).sum()
                for into, found in zip(
                    total, torch.autograd.grad(whole, parameters, allow_unused=True), strict=True
                ):
                    if found is not None:
                        into += found
        return total

    def hessian_product(self, direction: list[Tensor], weights: Tensor) -> list[Tensor]:
        """Return ``Hess(sum_i w_i l_i) v`` by the central difference of two gradients, on this rank alone.

        Args:
            direction: v.
            weights: w, [n], in the order of ``rows``.

        Raises:
            ConfigurationError: Parameters in half precision or sharded ones cannot be moved by so little.
        """
        parameters = self.parameters
        require_direction(direction, parameters)
        require_fine(self.model)
        norm = length(direction)
        if norm == 0.0:
            return [torch.zeros_like(part) for part in direction]
        h = step_length(parameters, norm)
        moved = Displacement(self.model)
        try:
            add_(parameters, direction, h)
            moved.measure()
            ahead = self.gradient(weights)
            moved.write(-1.0)
            behind = self.gradient(weights)
        finally:
            moved.write(0.0)
            moved.release()
        return [(a - b) / (2.0 * h) for a, b in zip(ahead, behind, strict=True)]

    def weighed_part(self, weights: Tensor) -> tuple[InnerProblem, Tensor]:
        """Return the problem of the first batch that has weight, and its weights, scaled to add up to 1.

        Raises:
            ConfigurationError: No batch has weight.
        """
        parts = torch.split(weights, [len(rows) for rows in self._batch_rows()])
        for part, batch in zip(parts, self.batches, strict=True):
            if part.any():
                return InnerProblem(self.model, self.losses, [batch]), part / part.sum()
        raise ConfigurationError(
            "`weights` must be above 0 for a candidate. Found none. Select at least one row."
        )


class _Own:
    """The batches of this rank's share, again and again."""

    def __init__(self, problem: InnerProblem) -> None:
        self.problem = problem

    def __iter__(self) -> Iterator[Any]:
        return (batch for _, batch in self.problem._own())
