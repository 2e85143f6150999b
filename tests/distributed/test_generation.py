"""Generators on two processes: every rank ends with the numbers and images of one process."""

from __future__ import annotations

from typing import Any

import pytest

from tests.distributed.generation import run
from tests.distributed.pool import Pool
from unlearnkit.evaluators.packed import unpack_images

pytestmark = [pytest.mark.distributed, pytest.mark.filterwarnings("ignore::UserWarning")]


@pytest.fixture(scope="module")
def alone() -> list[dict[str, Any]]:
    return run(None)


@pytest.mark.parametrize("host", ["ddp", "fsdp2"])
def test_numbers_and_images_are_those_of_one_process(
    pool: Pool, alone: list[dict[str, Any]], host: str
) -> None:
    ranks = pool("tests.distributed.generation:run", host)
    assert len(alone) == 2
    for found in ranks:
        for here, one in zip(found, alone, strict=True):
            assert here["summary"] == pytest.approx(one["summary"], rel=1e-3, abs=1e-4)
            assert here["comparability"] == one["comparability"], "the same rows by the same protocol"
            difference = (
                unpack_images(here["samples"]["packed"]).int() - unpack_images(one["samples"]["packed"]).int()
            )
            assert difference.abs().max() <= 2, "bytes, up to rounding"
    for first, second in zip(*ranks, strict=True):
        assert first["summary"] == second["summary"]
        assert first["samples"] == second["samples"]
