"""Inner products, norms and scaling of gradients that are sharded unevenly, replicated, or plain."""

from __future__ import annotations

import pytest
import torch

from tests.distributed.pool import Pool

pytestmark = pytest.mark.distributed


def test_shards_are_summed_and_replicas_counted_once(pool: Pool) -> None:
    found = pool("tests.distributed.sharded_algebra:algebra")
    assert [rank["rows"] for rank in found] == [9, 8]
    for rank in found:
        assert rank["replicas"] == [1, None, 1, None]
        assert rank["numbers"] == pytest.approx(rank["numbers_expected"], rel=1e-13)
        for a, b in zip(rank["tensors"], rank["tensors_expected"], strict=True):
            torch.testing.assert_close(a, b, rtol=1e-13, atol=1e-14)
    assert found[0]["numbers"] == found[1]["numbers"]


def test_shards_that_are_held_twice_are_counted_once(pool: Pool) -> None:
    for norm, gram, expected in pool("tests.distributed.sharded_algebra:hybrid"):
        assert norm == gram == expected


def test_coordinates_are_drawn_by_their_place_in_the_whole(pool: Pool) -> None:
    """Each rank draws for its rows what one process draws for them; parts along columns are refused."""
    first, second = pool("tests.distributed.sharded_algebra:coordinates")
    assert first["first"] == [0, 0, 0, 0]
    assert second["first"] == [27, 0, 2, 0]
    for rank in (first, second):
        assert rank["same"] == [True] * 4
        assert "`placements` must cut tensors along rows. Found Shard(dim=1" in rank["message"]
