"""RoundLoader: whole batches by number, and no state of its own."""

from __future__ import annotations

from lightning.fabric.utilities.types import _Stateful

from unlearnkit.datamodules import RoundLoader, RoundSampler
from unlearnkit.datamodules.loader import Rows


def test_batches_are_those_of_the_sampler() -> None:
    sampler = RoundSampler(5, 2, rounds=4, seed=3)
    loader = RoundLoader("abcde", sampler, collate_fn="".join)
    assert len(loader) == 4
    assert list(loader) == ["".join("abcde"[row] for row in sampler.batch(round_)) for round_ in range(4)]


def test_workers_give_the_same() -> None:
    sampler = RoundSampler(5, 2, rounds=4, seed=3)
    alone = list(RoundLoader("abcde", sampler, collate_fn="".join))
    assert list(RoundLoader("abcde", sampler, collate_fn="".join, num_workers=1)) == alone


def test_it_says_that_it_can_resume() -> None:
    loader = RoundLoader("ab", RoundSampler(2, 1, rounds=2), collate_fn="".join)
    assert isinstance(loader, _Stateful)  # what Lightning asks before it warns
    assert loader.state_dict() == {}
    loader.load_state_dict({})


def test_a_single_number_gives_a_batch_of_one() -> None:
    assert Rows("abc")[1] == ["b"]
    assert len(Rows("abc")) == 3
