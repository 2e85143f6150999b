"""own_rows: the rows that a sampler repeats to fill up do not count; rows of any other loader do."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule
from torch.utils.data import BatchSampler, DataLoader, DistributedSampler

from tests.modules.tiny import quiet
from unlearnkit.modules.own_rows import own_rows


class Counted(LightningModule):
    """Keep the rows of each batch that count."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.seen: list[list[int]] = []

    def validation_step(self, batch: torch.Tensor, batch_idx: int, dataloader_idx: int = 0) -> None:
        self.seen.append(batch[: own_rows(self.trainer, batch_idx, dataloader_idx)].tolist())

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        return self.weight.sum()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)

    test_step = predict_step = validation_step


def seen(stage: str, loaders: Any) -> list[list[int]]:
    module = Counted()
    getattr(quiet(), stage)(module, loaders)
    return module.seen


def share(size: int, batch_size: int, rank: int, world: int, **options: Any) -> DataLoader:
    sampler = DistributedSampler(range(size), world, rank, shuffle=False, **options)
    return DataLoader(range(size), batch_size, sampler=sampler)


@pytest.mark.parametrize("stage", ["validate", "test", "predict"])
@pytest.mark.parametrize("batch_size", [1, 2, 3, 10])
@pytest.mark.parametrize(("size", "world"), [(1, 3), (3, 2), (4, 2), (5, 3), (7, 3)])
def test_every_row_counts_once_over_all_ranks(stage: str, batch_size: int, size: int, world: int) -> None:
    parts = [seen(stage, share(size, batch_size, rank, world)) for rank in range(world)]
    assert len({len(part) for part in parts}) == 1  # all ranks have as many batches
    assert sorted(row for part in parts for batch in part for row in batch) == list(range(size))


def test_each_loader_has_its_own_end() -> None:
    assert seen("validate", [share(3, 1, 1, 2), share(4, 1, 1, 2)]) == [[1], [], [1], [3]]


def test_rows_dropped_at_the_end_are_no_repetitions() -> None:
    assert seen("validate", share(3, 2, 0, 2, drop_last=True)) == [[0]]


def test_all_rows_of_other_loaders_count() -> None:
    twice = [0, 0, 1, 1]
    batches = BatchSampler(DistributedSampler(twice, 2, 0, shuffle=False), 2, drop_last=False)

    class Reversed(BatchSampler):
        def __iter__(self):
            return iter(list(super().__iter__())[::-1])

    backward = Reversed(DistributedSampler(range(3), 2, 1, shuffle=False), 1, drop_last=False)
    assert seen("validate", DataLoader(twice, 3)) == [[0, 0, 1], [1]]
    assert seen("validate", DataLoader(twice, batch_sampler=batches)) == [[0, 1]]
    assert seen("validate", DataLoader([torch.arange(3)], batch_size=None)) == [[0, 1, 2]]
    assert seen("validate", DataLoader(range(3), batch_sampler=backward)) == [[0], [1]]


def test_the_loader_is_that_of_the_running_stage() -> None:
    module, trainer = Counted(), quiet()
    trainer.fit(module, DataLoader(range(2)), share(3, 1, 1, 2))
    module.seen.clear()
    trainer.validate(module, DataLoader(range(3), 1), verbose=False)
    assert module.seen == [[0], [1], [2]]
