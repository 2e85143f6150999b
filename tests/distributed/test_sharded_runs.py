"""Around a sharded fit: what cannot work is refused, and a save that is killed loses no checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.distributed.pool import Pool

pytestmark = pytest.mark.distributed


def test_a_reference_of_shards_is_refused_with_a_remedy(pool: Pool) -> None:
    for message in pool("tests.distributed.sharded_runs:validate_then_fit"):
        assert "`model` must be whole when its frozen copy, the reference, is made" in message
        assert "Build a new module for fit" in message


def test_a_save_that_is_killed_leaves_the_new_checkpoint_whole(pool: Pool, tmp_path: Path) -> None:
    first, second = pool("tests.distributed.sharded_runs:save_that_is_cut_short", str(tmp_path))
    assert first["removed"] == [".last.ckpt.old", ".last.ckpt.old"]
    assert first["whole"] == second["whole"] == "last.ckpt"
