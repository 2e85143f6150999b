"""Selection: which rows are unlearned, with what weights, and how that came about."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from unlearnkit.alignment.outer import effective_size
from unlearnkit.artifacts import AnyPath, atomic_write_json, read_json
from unlearnkit.errors import ArtifactError, ConfigurationError, DataError, NonFiniteError

SIMPLEX = 1e-6
"""By how much weights may miss a sum of 1: rounding, not another scale."""


@dataclass(frozen=True, eq=False)
class Selection:
    """Rows to unlearn with weights on the simplex; hosts take it as ``sample_weights``.

    Attributes:
        indices: Selected rows, [s], int64.
        weights: Their weights, [s], float64, 0 or above, adding up to 1.
        candidates: All rows that could have been selected, [n], int64.
        gains: The candidates' gains where the weights were made, [n], float64; None where none were formed.
        history: One record of plain numbers per outer round.

    Raises:
        DataError: No row is selected, one is selected twice or is no candidate, or the weights are not on the simplex.
        NonFiniteError: A weight is NaN or infinite.

    >>> chosen = Selection(torch.tensor([4, 2]), torch.tensor([0.5, 0.5]), torch.tensor([1, 2, 4]))
    >>> chosen.of(torch.tensor([1, 2, 2])).tolist(), chosen.ess
    ([0.0, 0.5, 0.5], 2.0)
    """

    indices: Tensor
    weights: Tensor
    candidates: Tensor
    gains: Tensor | None = None
    history: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name in ("indices", "candidates"):
            object.__setattr__(self, name, getattr(self, name).detach().cpu().long())
        object.__setattr__(self, "weights", self.weights.detach().cpu().double())
        if self.gains is not None:
            object.__setattr__(self, "gains", self.gains.detach().cpu().double())
        self._check()

    def _check(self) -> None:
        if not bool(self.weights.isfinite().all()):
            bad = self.weights[~self.weights.isfinite()][0].item()
            raise NonFiniteError(f"`weights` must be finite. Found {bad}. Check the gains they were made of.")
        if not len(self.indices) or len(self.indices) != len(self.weights):
            raise DataError(
                f"`indices` must hold at least one row, with one weight each. Found {len(self.indices)} rows and "
                f"{len(self.weights)} weights. Select some rows."
            )
        if len(set(self.indices.tolist())) < len(self.indices):
            raise DataError("`indices` must name each row once. Found repeated rows. Remove the repetitions.")
        outside = self.indices[~torch.isin(self.indices, self.candidates)]
        if len(outside):
            raise DataError(
                f"`indices` must be candidates. Found row {int(outside[0])}, which is none. Select among the "
                "candidates' rows."
            )
        total = float(self.weights.sum())
        if float(self.weights.min()) < 0 or abs(total - 1.0) > SIMPLEX:
            raise DataError(
                f"`weights` must be 0 or above and add up to 1. Found a sum of {total:g} and a least weight of "
                f"{float(self.weights.min()):g}. Divide them by their sum."
            )
        if self.gains is not None and len(self.gains) != len(self.candidates):
            raise DataError(
                f"`gains` must hold one number per candidate. Found {len(self.gains)} for {len(self.candidates)}. "
                "Leave gains out, or pass those of all candidates."
            )

    @property
    def ess(self) -> float:
        """Effective number of samples, ``1 / sum w^2``."""
        return effective_size(self.weights)

    @cached_property
    def _table(self) -> tuple[Tensor, Tensor]:
        """All candidates in rising order, and their weights."""
        rows = self.candidates.sort().values
        weights = torch.zeros(len(rows), dtype=torch.float64)
        weights[torch.searchsorted(rows, self.indices)] = self.weights
        return rows, weights

    def of(self, index: Tensor) -> Tensor:
        """Return the weight of each sample, [batch], float64; 0 for candidates that are not selected.

        On an accelerator a row that is no candidate reads NaN, which stops the round: to look would synchronise.

        Args:
            index: Rows, [batch].

        Raises:
            ConfigurationError: A row is no candidate.
        """
        rows, weights = (part.to(index.device) for part in self._table)
        places = torch.searchsorted(rows, index).clamp_max(len(rows) - 1)
        known = rows[places] == index
        if index.device.type == "cpu" and not bool(known.all()):
            raise ConfigurationError(
                f"`sample_weights` must know every sample of the forget side. Found row {int(index[~known][0])}, which "
                "was no candidate. Select among the data that are trained on."
            )
        return torch.where(known, weights[places], torch.nan)

    def mass_by(self, kinds: dict[int, str]) -> dict[str, float]:
        """Return the weight that falls on each kind of row, kinds sorted by name.

        Args:
            kinds: Kind of each row, by row.
        """
        found: dict[str, float] = {}
        for row, weight in zip(self.indices.tolist(), self.weights.tolist(), strict=True):
            found[kinds[row]] = found.get(kinds[row], 0.0) + weight
        return dict(sorted(found.items()))

    def save(self, path: AnyPath) -> None:
        """Write the selection as JSON, atomically."""
        atomic_write_json(
            path,
            {
                "format": 1,
                "kind": "selection",
                "indices": self.indices.tolist(),
                "weights": self.weights.tolist(),
                "effective_sample_size": self.ess,
                "candidates": self.candidates.tolist(),
                "gains": None if self.gains is None else self.gains.tolist(),
                "history": self.history,
            },
        )

    @classmethod
    def load(cls, path: AnyPath) -> Selection:
        """Read a selection.

        Raises:
            ArtifactError: The file is missing, half-written or no selection.
        """
        found = read_json(path)
        try:
            if found["kind"] != "selection":
                raise DataError(f"kind {found['kind']!r}")
            gains = found["gains"]
            return cls(
                torch.tensor(found["indices"], dtype=torch.int64),
                torch.tensor(found["weights"], dtype=torch.float64),
                torch.tensor(found["candidates"], dtype=torch.int64),
                None if gains is None else torch.tensor(gains, dtype=torch.float64),
                list(found["history"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ArtifactError(
                f"`{path}` must be a selection that a run saved. Found another content ({error!r}). Name the right "
                "file, or select again."
            ) from error
