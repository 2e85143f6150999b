"""Diffusion models: two processes make what one makes, noise, replayed samples and Fisher information included."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.distributed.contract import state
from tests.distributed.diffusion import Run
from tests.distributed.pool import Pool
from tests.modules.diffusion_models import ROUNDS, moved, train
from tests.modules.image_models import worst

pytestmark = [pytest.mark.distributed, pytest.mark.filterwarnings("ignore::UserWarning")]

Ranks = Callable[[str], list[dict[Run, dict[str, Any]]]]

CASES: list[tuple[str, Run]] = [
    *(("ddp", ("unet", kind)) for kind in ("SalUn", "DualOptim", "SFRon", "SA")),
    *(("ddp", ("dit", kind)) for kind in ("NGDiff", "SalUn-noise", "DualOptimPlus")),
    ("ddp", ("dit-variance", "SalUn")),
    # Weights of fewer rows than there are ranks are in both networks.
    *(("fsdp2", ("unet", kind)) for kind in ("SalUn", "Distance", "SA")),
    *(("fsdp2", ("dit", kind)) for kind in ("NGDiff", "SFRon")),
    ("fsdp2", ("dit-variance", "SalUn")),
]


@pytest.fixture(scope="module")
def ranks(pool: Pool) -> Ranks:
    """Make the runs of a host, once."""
    return functools.cache(
        lambda host: pool("tests.distributed.diffusion:run_all", host, [run for h, run in CASES if h == host])
    )


@functools.cache
def alone(run: Run) -> dict[str, Any]:
    """Make a run in this process."""
    return state(train(*run))


@pytest.mark.parametrize(("host", "run"), CASES, ids=str)
def test_two_processes_equal_one(ranks: Ranks, host: str, run: Run) -> None:
    """Unequal shares, augmentation, noise, dropped classes, wrong classes and masks included."""
    one = alone(run)
    assert moved(one["parameters"], run[0]) > 1e-3
    first, second = (rank[run] for rank in ranks(host))
    for found in (first, second):
        for what in ("parameters", "moments", "buffers"):
            assert worst(found[what], one[what]) <= 1e-10, what
        assert found["losses"] == pytest.approx(one["losses"], rel=1e-10)
        assert found["rounds"] == one["rounds"] == ROUNDS
    for what in ("parameters", "moments", "buffers"):
        assert all(map(torch.equal, first[what], second[what])), "replicas drift apart"


@pytest.mark.parametrize(
    ("host", "run"),
    [("ddp", ("unet", "SA")), ("fsdp2", ("unet", "SA")), ("fsdp2", ("dit", "SFRon"))],
    ids=str,
)
def test_a_resumed_run_ends_with_the_same_bits(pool: Pool, host: str, run: Run, tmp_path: Path) -> None:
    """Noise, mask, and the target's samples go on where they were."""
    for found in pool("tests.distributed.diffusion:resumed", host, run, str(tmp_path)):
        assert found == dict.fromkeys(found, True) | {"rounds": ROUNDS}
