"""Two processes under DDP equal one process on the concatenated, unequal batches."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.modules.two_processes import CASES, state, train, whole_batches

pytestmark = pytest.mark.distributed

ROOT = Path(__file__).resolve().parents[2]


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Run all cases in one pair of processes, started as torchrun starts them."""
    out = tmp_path_factory.mktemp("ranks")
    port = free_port()
    workers = []
    for rank in range(2):
        environment = os.environ | {
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": "2",
            "LOCAL_WORLD_SIZE": "2",
            "GROUP_RANK": "0",
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
            "TORCHELASTIC_RUN_ID": "test",
            "PYTHONPATH": str(ROOT),
        }
        command = [sys.executable, "-W", "ignore", "-m", "tests.modules.two_processes", str(out)]
        workers.append(
            subprocess.Popen(command, env=environment, cwd=ROOT, stderr=subprocess.PIPE, text=True)
        )
    try:
        errors = [worker.communicate(timeout=180)[1] for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    assert [worker.returncode for worker in workers] == [0, 0], "\n".join(errors)[-4000:]
    return [torch.load(out / f"{rank}.pt") for rank in range(2)]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_two_processes_equal_one(ranks: list[dict[str, Any]], name: str) -> None:
    one = state(train(CASES[name], whole_batches(), devices=1))
    for found in (rank[name] for rank in ranks):
        for a, b in zip(found["parameters"], one["parameters"], strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-10)
        assert found["losses"] == pytest.approx(one["losses"], rel=1e-10)
        assert found["scale"] == pytest.approx(one["scale"], rel=1e-8)
        assert found["rounds"] == one["rounds"]


@pytest.mark.parametrize("name", CASES)
def test_replicas_do_not_drift_apart(ranks: list[dict[str, Any]], name: str) -> None:
    first, second = (rank[name] for rank in ranks)
    assert all(torch.equal(a, b) for a, b in zip(first["parameters"], second["parameters"], strict=True))
    assert first["scale"] == second["scale"]
    assert first["losses"] == second["losses"]


def test_gram_matrix_of_sharded_and_replicated_gradients(ranks: list[dict[str, Any]]) -> None:
    """Uneven shards are summed over ranks, replicated and plain tensors are counted once."""
    for found in (rank["gram"] for rank in ranks):
        assert found["found"] == pytest.approx(found["expected"], rel=1e-13)
        for a, b in zip(found["combined"], found["combined_expected"], strict=True):
            torch.testing.assert_close(a, b, rtol=1e-13, atol=1e-14)
