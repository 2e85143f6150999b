"""Rows are shared among processes and come back in order."""

from __future__ import annotations

import pytest
import torch.distributed

from tests.evaluators.stand_ins import trained
from unlearnkit.evaluators.ranks import gather, place, share


@pytest.mark.parametrize("world", [1, 2, 3, 7])
@pytest.mark.parametrize("count", [0, 1, 5, 6])
def test_shares_are_put_together_in_order(world: int, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    shares = [share(range(count), rank, world) for rank in range(world)]

    def all_gather(into: list[list[int]], _: list[int]) -> None:
        into[:] = shares

    monkeypatch.setattr(torch.distributed, "all_gather_object", all_gather)
    for rank in range(world):
        assert gather(shares[rank], world) == list(range(count))


def test_one_process_has_all_rows() -> None:
    assert place(trained()) == (0, 1)
