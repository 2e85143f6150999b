"""A rank without an image does what the others do, and its batch statistics know nothing of the stand-in."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.distributed.empty import ROUNDS
from tests.distributed.pool import Pool

pytestmark = [pytest.mark.distributed, pytest.mark.filterwarnings("ignore::UserWarning")]


@pytest.mark.parametrize("host", ["ddp", "fsdp2"])
def test_an_empty_share_moves_no_batch_statistics(pool: Pool, host: str, tmp_path: Path) -> None:
    first, second = pool("tests.distributed.empty:run", host, str(tmp_path))
    assert first == [(1, True), (1, True), (4, True)] * ROUNDS
    assert second == [(1, True), (0, False), (4, True)] * ROUNDS
