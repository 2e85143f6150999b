"""Distinct-n as a torchmetrics class; the formula is in ``unlearnkit.metrics.functional.distinct``."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from unlearnkit.metrics.functional.distinct import n_grams


class DistinctN(Metric):
    """Share of different runs of n words among all of them, over all texts together (Li et al. 2016). Up.

    Args:
        n: Length of a run, in words.

    >>> metric = DistinctN(n=2)
    >>> metric.update(["a b a b", "a c"])
    >>> metric.compute().item()
    0.75
    """

    full_state_update = False
    is_differentiable = False
    higher_is_better: bool | None = True
    ideal: str | None = None
    runs: list[Tensor]

    def __init__(self, n: int = 2, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.n = n
        self.add_state("runs", [], dist_reduce_fx="cat")

    def update(self, texts: Sequence[str]) -> None:
        """Add texts.

        Raises:
            ConfigurationError: ``n`` is below 1.
        """
        found = [_number(run) for text in texts for run in n_grams(text, self.n)]
        self.runs.append(torch.tensor(found, dtype=torch.int64, device=self.device))

    def compute(self) -> Tensor:
        """Return the share, a float64 scalar; 0 where no text has n words."""
        whole = self.runs if isinstance(self.runs, Tensor) else torch.cat([torch.zeros(0).long(), *self.runs])
        return torch.tensor(len(set(whole.tolist())) / max(len(whole), 1), dtype=torch.float64)


def _number(run: tuple[str, ...]) -> int:
    """Return 63 bits that depend on the words alone: ranks exchange numbers, not strings."""
    digest = hashlib.blake2b("\n".join(run).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
