"""A TOFU evaluation on two processes says on both what one process says."""

from __future__ import annotations

from typing import Any

import pytest

from tests.distributed.pool import Pool
from tests.distributed.tofu_evaluation import run

pytestmark = pytest.mark.distributed


@pytest.fixture(scope="module")
def alone() -> dict[str, Any]:
    return run(None)


@pytest.mark.parametrize("host", ["ddp", "fsdp2"])
def test_every_number_is_that_of_one_process(pool: Pool, alone: dict[str, Any], host: str) -> None:
    first, second = pool("tests.distributed.tofu_evaluation:run", host)
    assert first == second
    assert first["summary"].keys() == alone["summary"].keys()
    for name, value in alone["summary"].items():
        assert first["summary"][name] == pytest.approx(value, rel=1e-4, abs=1e-6), name
    for name, columns in alone["attacks"].items():
        for attack in ("index", "loss", "min_k", "min_k++"):
            assert first["attacks"][name][attack] == pytest.approx(columns[attack], rel=1e-4), attack
    # A gradient needs all weights in one place.
    assert alone["refused"] == ""
    assert ("Found sharded ones" in first["refused"]) == (host == "fsdp2")
