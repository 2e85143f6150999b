"""Two processes, each with its share of unequal batches, equal one process with all of them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch

from tests.distributed.contract import CASES, FURTHER, KINDS, ROUNDS, run_one
from tests.distributed.pool import Pool

pytestmark = [pytest.mark.distributed, pytest.mark.filterwarnings("ignore::UserWarning")]

MATRIX = [
    *(("ddp", name) for name in CASES),
    *(("fsdp2", name) for name, case in CASES.items() if not case.uneven),
    *(("ddp-views", name) for name, case in CASES.items() if case.kind not in FURTHER),
    *((host, f"{kind}-AdamW") for host in ("ddp-unused", "ddp-static") for kind in KINDS),
]
Ranks = Callable[[str], list[dict[str, Any]]]
Alone = Callable[[str], dict[str, Any]]
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-6}


@pytest.fixture(scope="module")
def ranks(pool: Pool, request: pytest.FixtureRequest) -> Callable[[str], list[dict[str, Any]]]:
    """Run the cases of the tests that were asked for, in one call for each host."""
    chosen = {
        (item.callspec.params["host"], item.callspec.params["name"])
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.fspath == request.fspath and hasattr(item, "callspec")
        if {"host", "name"} <= item.callspec.params.keys()
    }

    @functools.cache
    def run(host: str) -> list[dict[str, Any]]:
        return pool(
            "tests.distributed.contract:run_all_on_rank",
            host,
            [n for h, n in MATRIX if (h, n) in chosen and h == host],
        )

    return run


@pytest.fixture(scope="module")
def alone() -> Callable[[str], dict[str, Any]]:
    """Run a case in this process, once."""
    return functools.cache(run_one)


@pytest.mark.parametrize(("host", "name"), MATRIX)
def test_two_processes_equal_one(ranks: Ranks, alone: Alone, host: str, name: str) -> None:
    one, bound = alone(name), TOLERANCE[CASES[name].dtype]
    for found in (rank[name] for rank in ranks(host)):
        for what in ("parameters", "moments", "buffers"):
            for a, b in zip(found[what], one[what], strict=True):
                torch.testing.assert_close(a, b, rtol=0, atol=bound)
        assert found["losses"] == pytest.approx(one["losses"], rel=bound)
        assert found["scale"] == pytest.approx(one["scale"], rel=1e-8)
        assert found["rounds"] == found["steps"] == one["rounds"] == ROUNDS
        assert found["skipped"] == one["skipped"]


@pytest.mark.parametrize(("host", "name"), MATRIX)
def test_replicas_do_not_drift_apart(ranks: Ranks, host: str, name: str) -> None:
    first, second = (rank[name] for rank in ranks(host))
    for what in ("parameters", "moments", "buffers"):
        assert all(torch.equal(a, b) for a, b in zip(first[what], second[what], strict=True))
    assert {k: first[k] for k in ("scale", "losses", "rounds")} == {
        k: second[k] for k in ("scale", "losses", "rounds")
    }


def test_cases_differ_where_they_should(alone: Alone) -> None:
    """A clip that never clips, a GeN that never moves or a side that is never held would prove nothing."""

    def flat(name: str) -> torch.Tensor:
        return torch.cat([p.flatten() for p in alone(name)["parameters"]])

    for changed, plain in [
        ("NGDiff-AdamW-clip", "NGDiff-AdamW"),
        ("LossNorm-SGD-clip", "LossNorm-SGD"),
        ("FixedWeights-AdamW-clip", "FixedWeights-AdamW"),
        ("Alternating-SGD-side-clip", "Alternating-SGD"),
        ("Reweighted-SGD", "NGDiff-SGD"),
        ("Alternating-Sided", "Alternating-SGD"),
        ("NGDiff-AdamW-held", "NGDiff-AdamW"),
        ("LossNorm-SGD-held", "LossNorm-SGD"),
        ("Alternate-DualOptim", "Alternate-AdamW"),
        ("Alternate-DualOptimPlus", "Alternate-AdamW"),
        ("Alternate-DualOptimPlus-slides", "Alternate-DualOptimPlus"),
        ("Alternate-DualOptimPlus-authors", "Alternate-DualOptimPlus-slides"),
        ("Alternate-AdamW-held", "Alternate-AdamW"),
        ("Alternate-AdamW-gen", "Alternate-AdamW"),
        ("NGDiff-AdamW-gen", "NGDiff-AdamW"),
        ("FixedWeights-SGD-penalty", "FixedWeights-SGD"),
    ]:
        assert (flat(changed) - flat(plain)).abs().max() > 1e-4, changed
    assert alone("NGDiff-AdamW-gen")["scale"] != 1.0


CUT = [
    *(f"{kind}-AdamW" for kind in KINDS),
    "FixedWeights-SGD",
    "Alternating-SGD",
    "Alternating-Sided",
    "Alternating-SGD-penalty",
]


@pytest.mark.parametrize("name", CUT)
def test_micro_batches_equal_one_large_batch(alone: Alone, name: str) -> None:
    """With SGD too: Adam and unit lengths hide a wrong divisor."""
    for a, b in zip(alone(f"{name}-parts")["parameters"], alone(name)["parameters"], strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-10)


def test_micro_batches_under_a_static_graph_are_refused(pool: Pool) -> None:
    """There DDP counts backward passes that do not reduce: replicas drift apart without a word."""
    for message in pool(
        "tests.distributed.contract:refusal_on_rank", "ddp-static", "NGDiff-AdamW-parts", False
    ):
        assert "`static_graph` of DDP must be off where a batch comes in micro-batches" in message


def test_unequal_numbers_of_micro_batches_are_refused_under_fsdp2(pool: Pool) -> None:
    """There each forward pass is an exchange: the rank with fewer of them would be waited for."""
    for message in pool("tests.distributed.contract:refusal_on_rank", "fsdp2", "NGDiff-SGD", "longer"):
        assert "as many micro-batches of a side on every rank under FSDP2" in message
        assert "Found 3 in all on 2 ranks" in message


def test_a_batch_on_one_rank_and_a_list_on_the_other_are_refused(pool: Pool) -> None:
    """They would wait for each other for ever."""
    for message in pool("tests.distributed.contract:refusal_on_rank", "ddp", "LossNorm-SGD", "mixed"):
        assert "`batch` must be of one kind on all ranks" in message
        assert "Found lists on 1 of 2 ranks." in message
