"""Image classifiers: what two processes make that one makes, and what batch norm leaves of it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.distributed.images import Run, outcome
from tests.distributed.pool import Pool
from tests.modules.image_models import EVERYTHING, ROUNDS, Shares, digits, moved, train, worst

pytestmark = [pytest.mark.distributed, pytest.mark.filterwarnings("ignore::UserWarning")]

Ranks = Callable[[str], list[dict[Run, dict[str, Any]]]]

ALIKE: list[tuple[str, Run]] = [
    *(("ddp", (network, kind, network == "resnet18")) for network, kind in EVERYTHING),
    *(("fsdp2", ("small", kind, False)) for kind in ("LossNorm", "DualOptimPlus", "SFRon")),
    ("fsdp2", ("swin", "SalUn", False)),
    ("fsdp2", ("resnet18", "SalUn", True)),
]
"""Models without batch statistics, and ResNet-18 whose batch norms keep theirs (FrozenStatistics)."""

APART: list[tuple[str, Run]] = [
    ("ddp", ("resnet18", "NGDiff", False)),
    ("ddp", ("resnet18", "DualOptim", False)),
    ("ddp", ("resnet18", "SalUn", False)),
    ("fsdp2", ("resnet18", "SFRon", False)),
]
"""ResNet-18 whose batch norms normalise by what a process has before it."""


@pytest.fixture(scope="module")
def ranks(pool: Pool) -> Ranks:
    """Make the runs of a host, once."""
    return functools.cache(
        lambda host: pool(
            "tests.distributed.images:run_all", host, [run for h, run in ALIKE + APART if h == host]
        )
    )


@functools.cache
def alone(run: Run, shares: bool = False) -> dict[str, Any]:
    """Make a run in this process, on whole batches or on the shares of two ranks."""
    network, kind, frozen = run
    return outcome(train(network, kind, digits(Shares) if shares else None, frozen=frozen))


def assert_same(found: dict[str, Any], one: dict[str, Any]) -> None:
    for what in ("parameters", "moments", "buffers"):
        assert worst(found[what], one[what]) <= 1e-10, what
    assert found["losses"] == pytest.approx(one["losses"], rel=1e-10)
    assert found["rounds"] == one["rounds"] == ROUNDS


@pytest.mark.parametrize(("host", "run"), ALIKE, ids=str)
def test_two_processes_equal_one(ranks: Ranks, host: str, run: Run) -> None:
    """Unequal shares, augmentation and masks included."""
    assert moved(alone(run)["parameters"], run[0]) > 1e-3
    for rank in ranks(host):
        assert_same(rank[run], alone(run))
        assert all(map(torch.equal, rank[run]["statistics"], alone(run)["statistics"]))


@pytest.mark.parametrize(("host", "run"), ALIKE + APART, ids=str)
def test_replicas_do_not_drift_apart(ranks: Ranks, host: str, run: Run) -> None:
    """Nor do batch statistics, of which DDP shares rank 0's a round late and FSDP2 none."""
    first, second = (rank[run] for rank in ranks(host))
    for what in ("parameters", "moments", "buffers", "statistics"):
        assert all(map(torch.equal, first[what], second[what])), what
    assert first["losses"] == second["losses"]


@pytest.mark.parametrize(("host", "run"), APART, ids=str)
def test_batch_norm_on_two_processes_is_one_that_normalises_each_share_by_itself(
    ranks: Ranks, host: str, run: Run
) -> None:
    """Micro-batches that are the ranks' shares: the same weights. Running statistics are moved twice, not by a mean."""
    one = alone(run, shares=True)
    for rank in ranks(host):
        assert_same(rank[run], one)
        assert worst(rank[run]["statistics"], one["statistics"]) > 1e-3


@pytest.mark.parametrize(("host", "run"), APART, ids=str)
def test_batch_norm_on_two_processes_is_not_one_on_whole_batches(ranks: Ranks, host: str, run: Run) -> None:
    """No rounding: after four rounds they are apart by more than half as far as training has moved any weight."""
    for rank in ranks(host):
        apart = worst(rank[run]["parameters"], alone(run)["parameters"])
        assert apart > 0.5 * moved(alone(run)["parameters"], run[0])


@pytest.mark.parametrize(
    ("host", "run"),
    [
        ("ddp", ("resnet18", "SalUn", False)),
        ("fsdp2", ("resnet18", "SalUn", False)),
    ],
    ids=str,
)
def test_a_resumed_run_ends_with_the_same_bits(pool: Pool, host: str, run: Run, tmp_path: Path) -> None:
    """Mask, batch statistics and augmentation go on where they were."""
    for found in pool("tests.distributed.images:resumed", host, run, str(tmp_path)):
        assert found == dict.fromkeys(found, True) | {"rounds": ROUNDS}
