"""A data module whose rows are numbers, and its batches as lists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from unlearnkit.artifacts import Split
from unlearnkit.datamodules import ForgetRetainDataModule


class Numbers(ForgetRetainDataModule):
    """Rows are numbers: 0 to 6 are forgotten, 7 to 22 kept."""

    def __init__(self, source: str = "numbers", **arguments: Any) -> None:
        sizes = {"forget_batch_size": 3, "retain_batch_size": 5, "train_batch_size": 6}
        super().__init__(**{**sizes, **arguments})
        self.source = source

    def setup(self, stage: str = "fit") -> None:
        self._split = Split("numbers", tuple(range(7)), tuple(range(7, 23)), self.source, rows=23)

    def samples(self, part: str) -> Sequence[int]:
        split = self.split
        both = split.forget + split.retain if self.train_on == "full" else split.retain
        return {"forget": split.forget, "retain": split.retain, "train": both}[part]

    def lengths(self, part: str) -> list[int]:
        return [row % 5 for row in self.samples(part)]

    def collate(self, samples: Sequence[int]) -> torch.Tensor:
        return torch.tensor(samples)


def plain(batch: Any) -> Any:
    """Return a batch as lists."""
    if isinstance(batch, dict):
        return {side: rows.tolist() for side, rows in batch.items()}
    return batch.tolist()
