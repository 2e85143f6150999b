"""RoundLoader: the DataLoader of one side, whose place in the data is the trainer's round."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch.utils.data import DataLoader, Dataset

from unlearnkit.datamodules.sampler import RoundSampler


class Rows(Dataset[list[Any]]):
    """Give the samples of a whole batch at once.

    >>> Rows("abcd")[[2, 0]]
    ['c', 'a']
    """

    def __init__(self, samples: Sequence[Any]) -> None:
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: list[int] | int) -> list[Any]:
        # A single number comes when Lightning puts its own sampler in for `overfit_batches`.
        return [self.samples[i] for i in (index if isinstance(index, list) else [index])]


class RoundLoader(DataLoader[list[Any]]):
    """Load the batches that a ``RoundSampler`` names.

    It says that it is resumable (``state_dict``) and keeps nothing for it: the sampler reads the place from
    the trainer's counter, which a checkpoint holds anyway.

    Args:
        samples: The samples of one side.
        sampler: Names the samples of each round.
        collate_fn: Makes a batch of a list of samples.
        num_workers: Worker processes.
    """

    def __init__(
        self,
        samples: Sequence[Any],
        sampler: RoundSampler,
        collate_fn: Callable[[list[Any]], Any],
        num_workers: int = 0,
    ) -> None:
        super().__init__(
            Rows(samples), batch_size=None, sampler=sampler, collate_fn=collate_fn, num_workers=num_workers
        )

    def state_dict(self) -> dict[str, Any]:
        """Return nothing: the trainer's counter is the whole state."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Accept the nothing that was saved."""
