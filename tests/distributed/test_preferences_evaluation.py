"""An evaluation of preferences on two processes says on both what one process says."""

from __future__ import annotations

from typing import Any

import pytest

from tests.distributed.pool import Pool
from tests.distributed.preferences_evaluation import run

pytestmark = pytest.mark.distributed


@pytest.fixture(scope="module")
def alone() -> dict[str, Any]:
    return run(None)


@pytest.mark.parametrize("host", ["ddp", "fsdp2"])
def test_every_number_is_that_of_one_process(pool: Pool, alone: dict[str, Any], host: str) -> None:
    first, second = pool("tests.distributed.preferences_evaluation:run", host)
    assert first == second
    assert (
        first["summary"].keys()
        == alone["summary"].keys()
        >= {"kl_from_start", "distance_from_start", "asr_useful"}
    )
    for name, value in alone["summary"].items():
        expected = None if value is None else pytest.approx(value, rel=1e-4, abs=1e-6)
        assert first["summary"][name] == expected, name
    assert alone["summary"]["asr_answer"] is None and alone["summary"]["asr_useful"] is not None
    for name in ("index", "prompt", "generation", "useful", "judge_skipped"):
        assert first["test"][name] == alone["test"][name], name
    assert len(first["errors"]) == len(alone["errors"]) == alone["summary"]["judge_skipped"] > 0
