"""RoundSampler: one seeded, rank-sharded stream of batches whose every draw is a function of its address."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import torch
from torch.utils.data import DistributedSampler

from unlearnkit.errors import ConfigurationError

Stream = Literal["train", "probe"]


class RoundSampler(DistributedSampler[list[int]]):
    """Yield the rows of one batch after another; batch ``(seed, side, round, rank)`` is always the same.

    Cycle ``c`` is a fresh permutation of all rows. The cycles are laid end to end, and the global batch of
    round ``k`` is the positions ``k*B`` to ``(k+1)*B``, so a batch may cross from one cycle into the next;
    the next cycle then starts with rows that the batch does not hold yet. A row comes twice in a batch only
    when there are fewer rows than the batch has places. Rank ``r`` of ``w`` takes every ``w``-th row from ``r``
    on: ranks may get unequal numbers, and nothing is repeated to fill up.

    Where a strategy makes whole passes over a side (``turn``), a pass is a cycle dealt out to ``pass_rounds``
    rounds, in batches whose sizes differ by one at most and none of which is above ``batch_size``: the rounds of a
    pass hold every row exactly once, which as many rounds in a row of the stream above do not.

    It is a ``DistributedSampler`` only so that Lightning never replaces it by its own, which would repeat rows
    and start from the first row after a resume.

    Args:
        size: Number of rows.
        batch_size: Rows in one global batch (over all ranks).
        rounds: Rounds in one epoch; the length of the sampler.
        seed: Seed of every draw.
        side: Whose rows; sides draw independently.
        stream: ``train``, or ``probe`` for batches independent of those that training uses.
        start_round: Returns the number of rounds done when an iteration starts. None counts
            ``rounds`` for each epoch of ``set_epoch``, as plain torch loops do.
        place: Returns (rank, world size) when an iteration starts. None is one process.
        turn: Returns by round how many batches of passes the side has had, or None for a round that takes its
            batch from the stream. None takes all from the stream.
        lengths: Length of each row, needed for ``bucket``.
        bucket: Sort rows by length within windows of this many batches, and shuffle the batches of a window.
            0 does not sort.

    Raises:
        ConfigurationError: A size is below 1, or ``bucket`` has no lengths.

    >>> sampler = RoundSampler(5, 2, rounds=3, seed=0)
    >>> sorted(row for round_ in range(5) for row in sampler.batch(round_))  # two cycles
    [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    """

    def __init__(
        self,
        size: int,
        batch_size: int,
        *,
        rounds: int,
        seed: int = 0,
        side: str = "train",
        stream: Stream = "train",
        start_round: Callable[[], int] | None = None,
        place: Callable[[], tuple[int, int]] | None = None,
        turn: Callable[[int], int | None] | None = None,
        lengths: Sequence[int] | None = None,
        bucket: int = 0,
    ) -> None:
        for name, value in (("size", size), ("batch_size", batch_size), ("rounds", rounds)):
            if value < 1:
                raise ConfigurationError(
                    f"`{name}` must be 1 or above. Found {value}. Give a positive number."
                )
        if bucket < 0 or (bucket and (lengths is None or len(lengths) != size)):
            raise ConfigurationError(
                f"`bucket` must be 0 or above, and needs `lengths` of all {size} rows. Found bucket={bucket} "
                f"with {'no' if lengths is None else len(lengths)} lengths. Pass lengths, or bucket=0."
            )
        super().__init__(range(size), num_replicas=1, rank=0, shuffle=True, seed=seed)  # type: ignore[arg-type]
        self.size = size
        self.batch_size = batch_size
        self.rounds = rounds
        self.side = side
        self.stream = stream
        self.start_round = start_round
        self.place = place
        self.turn = turn
        self.bucket = bucket
        self._lengths = None if lengths is None else list(lengths)
        self._last: tuple[int, list[int]] | None = None

    def __len__(self) -> int:
        return self.rounds

    def __iter__(self) -> Iterator[list[int]]:
        """Yield this rank's batches of one epoch, from the round that the counter shows at the first draw.

        A run that resumes in mid-epoch is given ``rounds`` batches all the same: the trainer knows how many of
        them its epoch still needs.
        """
        start = self.start_round() if self.start_round is not None else self.epoch * self.rounds
        rank, world = self.place() if self.place is not None else (0, 1)
        for round_ in range(start, start + self.rounds):
            yield self.draw(round_, rank, world)

    @property
    def pass_rounds(self) -> int:
        """Rounds of a pass, in which every row comes once."""
        return math.ceil(self.size / self.batch_size)

    def draw(self, round_: int, rank: int = 0, world: int = 1) -> list[int]:
        """Return one rank's rows of one round: of the stream, or of the pass that the round belongs to."""
        number = None if self.turn is None else self.turn(round_)
        return self.batch(round_, rank, world) if number is None else self.part(number, rank, world)

    def part(self, number: int, rank: int = 0, world: int = 1) -> list[int]:
        """Return one rank's rows of one batch of a pass: a pure function of seed, side, stream, number and rank.

        Args:
            number: Batches that passes have had before, over all passes.
            rank: This process, from 0.
            world: Number of processes.

        Raises:
            ConfigurationError: There are more processes than rows in a batch.

        >>> sampler = RoundSampler(5, 4, rounds=2)
        >>> [len(sampler.part(number)) for number in range(2)], sorted(sampler.part(0) + sampler.part(1))
        ([2, 3], [0, 1, 2, 3, 4])
        """
        parts = self.pass_rounds
        self._require_rows(world, self.size // parts)
        cycle, place = divmod(number, parts)
        low, high = (self.size * (place + more) // parts for more in (0, 1))
        return self._cycle(cycle)[low:high][rank::world]

    def batch(self, round_: int, rank: int = 0, world: int = 1) -> list[int]:
        """Return one rank's rows of one round: a pure function of seed, side, stream, round and rank.

        Args:
            round_: Number of the round, from 0.
            rank: This process, from 0.
            world: Number of processes.

        Raises:
            ConfigurationError: There are more processes than rows in a batch.
        """
        self._require_rows(world, self.batch_size)
        position = round_ * self.batch_size
        rows: list[int] = []
        while len(rows) < self.batch_size:
            cycle, offset = divmod(position + len(rows), self.size)
            rows += self._cycle(cycle)[offset : offset + self.batch_size - len(rows)]
        return rows[rank::world]

    def _require_rows(self, world: int, rows: int) -> None:
        if world > rows:
            raise ConfigurationError(
                f"`batch_size` must give every process a row. Found a batch of {rows} {self.side} "
                f"rows for {world} processes. Raise it to {world} or above, or use fewer devices."
            )

    # ------------------------------------------------------------------------------------- cycles

    def _tail(self, cycle: int) -> int:
        """Return how many rows of the batch that leaves this cycle lie in it (0: it ends with a batch)."""
        return (cycle + 1) * self.size % self.batch_size

    def _cycle(self, cycle: int) -> list[int]:
        """Return the order of all rows in one cycle."""
        if self._last is None or self._last[0] != cycle:
            self._last = (cycle, self._bucketed(cycle, self._ordered(cycle)))
        return self._last[1]

    def _ordered(self, cycle: int) -> list[int]:
        """Return the cycle's permutation, its start cleared of the rows its first batch holds already.

        Clearing moves rows within the first ``batch_size`` places only. From ``2 * batch_size`` rows on it so
        leaves the end of a cycle alone, and each cycle needs just the raw one before it; with fewer rows the
        cycles depend on each other from the first one on.
        """
        if self.size < self.batch_size:
            return self._permutation(cycle)
        if self.size >= 2 * self.batch_size:
            first = max(0, cycle - 1)
            order = self._permutation(first)
        elif self._last is not None and self._last[0] < cycle:
            first, order = self._last
        else:
            first, order = 0, self._permutation(0)
        for number in range(first + 1, cycle + 1):
            tail = self._tail(number - 1)
            held = set(order[self.size - tail :])
            order = self._permutation(number)
            head = order[: self.batch_size]
            order[: self.batch_size] = [r for r in head if r not in held] + [r for r in head if r in held]
        return order

    def _bucketed(self, cycle: int, order: list[int]) -> list[int]:
        """Sort whole batches of the cycle by length within windows; the batches it shares stay as they are."""
        if not self.bucket or self._lengths is None:
            return order
        size, window = self.batch_size, self.bucket * self.batch_size
        begin = -cycle * self.size % size
        end = max(begin, self.size - self._tail(cycle))
        generator = self._generator(cycle, "bucket")
        for low in range(begin, end, window):
            part = sorted(order[low : min(low + window, end)], key=self._lengths.__getitem__)
            batches = [part[i : i + size] for i in range(0, len(part), size)]
            shuffled = torch.randperm(len(batches), generator=generator).tolist()
            order[low : low + len(part)] = [row for i in shuffled for row in batches[i]]
        return order

    def _permutation(self, cycle: int) -> list[int]:
        order: list[int] = torch.randperm(self.size, generator=self._generator(cycle)).tolist()
        return order

    def _generator(self, cycle: int, use: str = "order") -> torch.Generator:
        address = f"{self.seed}/{self.stream}/{self.side}/{cycle}/{use}"
        word = int.from_bytes(hashlib.sha256(address.encode()).digest()[:8], "big") >> 1
        return torch.Generator().manual_seed(word)
