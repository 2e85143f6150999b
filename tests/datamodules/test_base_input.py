"""ForgetRetainDataModule: numbers out of range, names that are unknown, batches in parts."""

from __future__ import annotations

import pytest
import torch

from tests.datamodules.numbers import Numbers
from unlearnkit.errors import ConfigurationError, UnknownNameError


@pytest.mark.parametrize(
    "name", ["forget_batch_size", "retain_batch_size", "train_batch_size", "epoch_length"]
)
def test_numbers_below_one(name: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"`{name}` must be 1 or above. Found 0"):
        Numbers(**{name: 0})


@pytest.mark.parametrize("name", ["bucket", "num_workers"])
def test_numbers_below_zero(name: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"`{name}` must be 0 or above. Found -1"):
        Numbers(**{name: -1})


def test_unknown_names() -> None:
    with pytest.raises(
        UnknownNameError, match=r"`train_on` must be one of: full, pair, retain. Found 'both'"
    ):
        Numbers(train_on="both")
    with pytest.raises(UnknownNameError, match=r"`epoch_length` must be one of: .* Found 'target'"):
        Numbers(epoch_length="target")


def test_the_split_is_asked_for_too_early() -> None:
    with pytest.raises(ConfigurationError, match=r"`split` is known after setup.*Call .setup\(\) first"):
        _ = Numbers().split


@pytest.mark.parametrize("world", [1, 2, 3])
@pytest.mark.parametrize("size", [1, 2, 4, 100])
def test_micro_batches_are_the_batch_in_parts_as_many_on_every_rank(
    size: int, world: int, monkeypatch
) -> None:
    """FSDP2 exchanges parameters in every forward pass, so a rank with fewer of them would be waited for."""
    whole, cut = Numbers(), Numbers(micro_batch_size=size)
    for rank in range(world):
        for data in (whole, cut):
            data.setup()
            monkeypatch.setattr(data, "_place", lambda rank=rank: (rank, world))
        for round_ in range(8):
            batch, parts = whole.batch(round_), cut.batch(round_)
            for side, rows in (("forget", 3), ("retain", 5)):
                assert torch.cat(parts[side]).tolist() == batch[side].tolist()
                largest = -(-rows // world)
                assert len(parts[side]) == min(-(-largest // size), rows // world)
                lengths = [len(part) for part in parts[side]]
                assert 1 <= min(lengths) <= max(lengths) <= min(lengths) + 1
                assert max(lengths) <= size + 1


def test_loaders_give_micro_batches_and_single_streams_do_not() -> None:
    cut = Numbers(micro_batch_size=2)
    cut.setup()
    first = next(iter(cut.train_dataloader()))[0]
    assert [len(part) for part in first["forget"]] == [1, 2]
    assert [len(part) for part in first["retain"]] == [1, 2, 2]
    single = Numbers(micro_batch_size=2, train_on="full")
    single.setup()
    assert next(iter(single.train_dataloader())).shape == (6,)


def test_a_micro_batch_must_hold_a_sample() -> None:
    with pytest.raises(ConfigurationError, match=r"`micro_batch_size` must be 1 or above. Found 0"):
        Numbers(micro_batch_size=0)
