"""Masks are the same on both ranks and in one process, and freeze each rank's part of the weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.distributed.masked import SCORES, run
from tests.distributed.pool import Pool
from unlearnkit.testing import ToyClassifier

pytestmark = [pytest.mark.distributed, pytest.mark.filterwarnings("ignore::UserWarning")]

HOSTS = {"ddp": SCORES, "ddp-static": ("salun",), "fsdp2": SCORES}
"""What is scored where; a static graph counts backward passes that it does not know of."""


@pytest.fixture(scope="module")
def ranks(pool: Pool, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """Make all runs on every host."""
    folder = str(tmp_path_factory.mktemp("ranks"))
    return {
        host: pool("tests.distributed.masked:run_all", host, scores, folder) for host, scores in HOSTS.items()
    }


@pytest.mark.parametrize("score", SCORES)
def test_two_processes_freeze_what_one_does(ranks: dict[str, Any], score: str, tmp_path: Path) -> None:
    one = run(None, score, str(tmp_path))
    start = torch.cat([p.detach().flatten() for p in ToyClassifier(seed=3, dtype=torch.float64).parameters()])
    assert 0 < one["kept"].sum() < 18
    for host, scores in HOSTS.items():
        for found in [rank[score] for rank in ranks[host] if score in scores]:
            assert torch.equal(found["kept"], one["kept"])
            assert torch.equal(found["ended"][~one["kept"]], start[~one["kept"]])
            assert (found["ended"] != start)[one["kept"]].all()
            assert not found["state"][~one["kept"]].any()
            assert found["state"][one["kept"]].all()
            torch.testing.assert_close(found["ended"], one["ended"], rtol=1e-10, atol=1e-12)
            assert torch.equal(found["resumed"], found["ended"])
