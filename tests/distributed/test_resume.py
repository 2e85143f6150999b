"""Two processes, stopped in the middle of a round and resumed, end with the bits of a run never stopped."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.distributed.pool import Pool
from tests.distributed.resume import KINDS, STOPS

pytestmark = pytest.mark.distributed


@pytest.mark.parametrize(
    ("host", "kind"), [("fsdp2", kind) for kind in KINDS] + [("ddp", kind) for kind in KINDS[:3]]
)
def test_a_resumed_run_ends_with_the_same_bits(pool: Pool, host: str, kind: str, tmp_path: Path) -> None:
    """Dropout, sampler, schedule, momentum, GeN's scale and the strategy's buffers go on where they were."""
    for rank, found in enumerate(pool("tests.distributed.resume:run_on_rank", host, kind, str(tmp_path))):
        assert found["rank"] == rank
        assert found["trained"]
        assert found["eight"] == kind.endswith("8bit")
        assert found["stops"] == [True] * len(STOPS)
