"""RoundSampler: cycles, batches, ranks, buckets."""

from __future__ import annotations

import math
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DistributedSampler

from unlearnkit.datamodules import RoundSampler
from unlearnkit.errors import ConfigurationError

SIZES = {"size": st.integers(1, 25), "batch_size": st.integers(1, 12), "bucket": st.integers(0, 3)}


def make(size: int, batch_size: int, bucket: int = 0, **kwargs) -> RoundSampler:
    lengths = [(7 * i) % 5 for i in range(size)]
    return RoundSampler(size, batch_size, rounds=3, bucket=bucket, lengths=lengths, **kwargs)


@settings(max_examples=60, deadline=None)
@given(**SIZES, seed=st.integers(0, 3))
def test_every_cycle_holds_each_row_once(size: int, batch_size: int, bucket: int, seed: int) -> None:
    sampler = make(size, batch_size, bucket, seed=seed)
    stream = [row for round_ in range(20) for row in sampler.batch(round_)]
    for start in range(0, len(stream) - size + 1, size):
        assert sorted(stream[start : start + size]) == list(range(size))


@settings(max_examples=60, deadline=None)
@given(**SIZES)
def test_no_row_twice_in_a_batch_unless_there_are_too_few(size: int, batch_size: int, bucket: int) -> None:
    sampler = make(size, batch_size, bucket)
    for round_ in range(20):
        counts = Counter(sampler.batch(round_))
        assert counts.total() == batch_size
        if size >= batch_size:
            assert max(counts.values()) == 1


@settings(max_examples=40, deadline=None)
@given(**SIZES, order=st.randoms(use_true_random=False))
def test_a_batch_does_not_depend_on_what_was_asked_before(
    size: int, batch_size: int, bucket: int, order: random.Random
) -> None:
    sampler = make(size, batch_size, bucket)
    in_order = [sampler.batch(round_) for round_ in range(20)]
    rounds = list(range(20))
    order.shuffle(rounds)
    other = make(size, batch_size, bucket)
    assert all(other.batch(round_) == in_order[round_] for round_ in rounds)


@pytest.mark.parametrize("world", [1, 2, 3, 5])
def test_ranks_share_the_global_batch_without_filling_up(world: int) -> None:
    sampler = make(23, 5)
    for round_ in range(10):
        parts = [sampler.batch(round_, rank, world) for rank in range(world)]
        assert sorted(row for part in parts for row in part) == sorted(sampler.batch(round_))
        assert max(map(len, parts)) - min(map(len, parts)) <= 1


@settings(max_examples=60, deadline=None)
@given(size=SIZES["size"], batch_size=SIZES["batch_size"], order=st.randoms(use_true_random=False))
def test_the_rounds_of_a_pass_hold_every_row_once(size: int, batch_size: int, order: random.Random) -> None:
    sampler = make(size, batch_size)
    rounds = math.ceil(size / batch_size)
    assert sampler.pass_rounds == rounds
    numbers = list(range(5 * rounds))
    order.shuffle(numbers)
    parts = {number: sampler.part(number) for number in numbers}
    for start in range(0, 5 * rounds, rounds):
        one = [parts[number] for number in range(start, start + rounds)]
        assert sorted(row for part in one for row in part) == list(range(size))
        assert max(map(len, one)) <= batch_size
        assert max(map(len, one)) - min(map(len, one)) <= 1


def test_the_stream_leaves_rows_out_of_as_many_rounds_as_a_pass_has() -> None:
    """Which is why passes are dealt out: every third round of the stream belongs to a pass of 3 of 10 rounds."""
    sampler = make(23, 8)
    seen = {row for round_ in range(10, 13) for row in sampler.batch(round_)}
    assert len(seen) < 23
    assert {row for number in range(3, 6) for row in sampler.part(number)} == set(range(23))


@pytest.mark.parametrize("world", [1, 2, 3])
def test_ranks_share_the_batches_of_a_pass(world: int) -> None:
    sampler = make(23, 5)
    for number in range(10):
        parts = [sampler.part(number, rank, world) for rank in range(world)]
        assert sorted(row for part in parts for row in part) == sorted(sampler.part(number))
        assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_a_turn_says_which_batch_of_which_pass_a_round_takes() -> None:
    at = [None, 0, 0, 1, 7]
    sampler = make(10, 4, turn=lambda round_: at[round_])
    expected = [sampler.batch(0), *(sampler.part(number) for number in at[1:])]
    assert [sampler.draw(round_) for round_ in range(5)] == expected
    assert list(sampler) == expected[:3]


def test_seed_side_and_stream_draw_independently() -> None:
    draws = [
        make(40, 10, **arguments).batch(3)
        for arguments in (
            {},
            {"seed": 1},
            {"side": "forget"},
            {"side": "retain"},
            {"stream": "probe"},
            {"side": "retain", "stream": "probe"},
        )
    ]
    assert len({tuple(draw) for draw in draws}) == len(draws)


def test_the_draws_are_the_same_on_every_machine() -> None:
    assert [make(7, 3).batch(round_) for round_ in range(3)] == EXPECTED


EXPECTED = [[1, 4, 0], [5, 6, 2], [3, 0, 4]]


def test_cycles_are_shuffled_anew() -> None:
    sampler = make(30, 30)
    assert len({tuple(sampler.batch(round_)) for round_ in range(5)}) == 5


def test_epochs_go_on_where_the_last_one_ended() -> None:
    sampler = make(10, 4)
    seen = list(sampler)
    sampler.set_epoch(1)
    seen += list(sampler)
    assert seen == [sampler.batch(round_) for round_ in range(6)]
    assert len(sampler) == 3


def test_the_counter_and_the_place_are_read_when_iteration_begins() -> None:
    at = {"round": 0, "place": (0, 1)}
    sampler = make(10, 4, start_round=lambda: at["round"], place=lambda: at["place"])
    iterator = iter(sampler)
    at.update(round=5, place=(1, 2))
    assert next(iterator) == sampler.batch(5, 1, 2)
    assert next(iterator) == sampler.batch(6, 1, 2)


def test_lightning_takes_it_for_its_own_kind() -> None:
    assert isinstance(make(4, 2), DistributedSampler)


def test_buckets_put_similar_lengths_together() -> None:
    lengths = [random.Random(i).randint(1, 100) for i in range(64)]

    def padding(bucket: int) -> int:
        sampler = RoundSampler(64, 8, rounds=8, lengths=lengths, bucket=bucket)
        batches = [[lengths[row] for row in sampler.batch(round_)] for round_ in range(8)]
        return sum(max(batch) * len(batch) - sum(batch) for batch in batches)

    assert padding(8) < padding(4) < padding(0)
    assert padding(8) < 0.3 * padding(0)


def test_buckets_do_not_put_short_batches_first() -> None:
    lengths = list(range(64))
    sampler = RoundSampler(64, 8, rounds=8, lengths=lengths, bucket=8)
    means = [sum(sampler.batch(round_)) / 8 for round_ in range(8)]
    assert means != sorted(means)


def test_more_processes_than_rows_in_a_batch() -> None:
    message = r"`batch_size` must give every process a row. Found a batch of 2 forget rows for 3 processes"
    with pytest.raises(ConfigurationError, match=message):
        make(10, 2, side="forget").batch(0, 0, 3)
    with pytest.raises(ConfigurationError, match="a batch of 2 forget rows for 3 processes. Raise it to 3"):
        make(5, 4, side="forget").part(0, 0, 3)


@pytest.mark.parametrize("name", ["size", "batch_size", "rounds"])
def test_sizes_below_one(name: str) -> None:
    arguments = {"size": 3, "batch_size": 2, "rounds": 1, name: 0}
    with pytest.raises(ConfigurationError, match=rf"`{name}` must be 1 or above. Found 0"):
        RoundSampler(**arguments)


@pytest.mark.parametrize(("bucket", "lengths"), [(-1, [1, 2, 3]), (2, None), (2, [1, 2])])
def test_bucket_needs_the_lengths(bucket: int, lengths: list[int] | None) -> None:
    with pytest.raises(
        ConfigurationError, match=r"`bucket` must be 0 or above, and needs `lengths` of all 3"
    ):
        RoundSampler(3, 2, rounds=1, bucket=bucket, lengths=lengths)
