"""Reference models, adapters and masked batches: two processes equal one."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.distributed.language import CASES, run_one
from tests.distributed.pool import Pool

pytestmark = [pytest.mark.distributed, pytest.mark.filterwarnings("ignore::UserWarning")]

HOSTS = ("ddp", "ddp-views", "fsdp2")


@pytest.fixture(scope="module")
def ranks(pool: Pool) -> dict[str, list[dict[str, Any]]]:
    return {host: pool("tests.distributed.language:run_on_rank", host, list(CASES)) for host in HOSTS}


@pytest.fixture(scope="module")
def alone() -> dict[str, dict[str, Any]]:
    return {name: run_one(name) for name in CASES}


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("name", CASES)
def test_two_processes_equal_one(
    ranks: dict[str, Any], alone: dict[str, dict[str, Any]], host: str, name: str
) -> None:
    one = alone[name]
    first, second = (rank[name] for rank in ranks[host])
    assert all(torch.equal(a, b) for a, b in zip(first["parameters"], second["parameters"], strict=True))
    for a, b in zip(first["parameters"], one["parameters"], strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-10)
    assert first["losses"] == second["losses"]
    assert first["scale"] == second["scale"] == pytest.approx(one["scale"], rel=1e-8)
    assert (one["scale"] != 1.0) == CASES[name].gen
    assert first["losses"] == pytest.approx(one["losses"], rel=1e-10)
    assert first["skipped"] is second["skipped"] is one["skipped"] is None


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("name", ["ngdiff", "lora-npo-kl"])
def test_evaluation_after_training_is_that_of_one_process(
    ranks: dict[str, Any], alone: dict[str, dict[str, Any]], host: str, name: str
) -> None:
    for found in (rank[name] for rank in ranks[host]):
        assert found["scores"] == pytest.approx(alone[name]["scores"], rel=1e-6)
        assert found["answers"] == alone[name]["answers"]
        assert found["untouched"]
