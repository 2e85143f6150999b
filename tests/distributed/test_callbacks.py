"""Callbacks that evaluate, stop, hold and go back act on two processes in the same round, as in one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.distributed.acting import KINDS, ROUNDS, run
from tests.distributed.pool import Pool

pytestmark = [pytest.mark.distributed, pytest.mark.filterwarnings("ignore::UserWarning")]

HOSTS = ("ddp", "fsdp2")
EVENTS = {"hold": "held_rounds", "stop": "reached_round", "stop-unseen": "reached_round"}
"""What proves that something happened; for the guards it is their history."""


@pytest.fixture(scope="module")
def ranks(pool: Pool, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """Make all runs on every host."""
    folder = str(tmp_path_factory.mktemp("ranks"))
    return {host: pool("tests.distributed.acting:run_all", host, folder) for host in HOSTS}


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Make all runs in this process."""
    folder = str(tmp_path_factory.mktemp("alone"))
    return {kind: run(None, kind, folder) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("host", HOSTS)
def test_two_processes_act_in_the_rounds_in_which_one_does(
    ranks: dict[str, Any], alone: dict[str, Any], host: str, kind: str
) -> None:
    one = alone[kind]
    for found in (rank[kind] for rank in ranks[host]):
        assert found["rounds"] == one["rounds"]
        assert found["held"] == one["held"] == []
        events = ("held", "held_rounds", "reached_round", "rollbacks")
        assert {k: found["state"].get(k) for k in events} == {k: one["state"].get(k) for k in events}
        assert _times(found) == _times(one)
        assert found["scale"] == pytest.approx(one["scale"], rel=1e-3)
        torch.testing.assert_close(found["parameters"], one["parameters"], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("host", HOSTS)
def test_both_ranks_saw_the_same_bits(ranks: dict[str, Any], host: str, kind: str) -> None:
    first, second = (rank[kind] for rank in ranks[host])
    assert torch.equal(first["parameters"], second["parameters"])
    assert {k: first[k] for k in ("rounds", "scale", "state", "held")} == {
        k: second[k] for k in ("rounds", "scale", "state", "held")
    }
    assert first["value"] == second["value"] or kind.startswith("guard")


def test_something_happened_in_each_of_these_runs(alone: dict[str, Any]) -> None:
    for kind, one in alone.items():
        assert one["state"][EVENTS[kind]] if kind in EVENTS else one["state"]["history"], kind
    assert 1 < alone["stop"]["rounds"] < ROUNDS
    assert 1 < alone["stop-unseen"]["rounds"] < ROUNDS


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.startswith("guard")])
@pytest.mark.parametrize("host", HOSTS)
def test_each_return_is_to_the_healthy_state_bit_for_bit(ranks: dict[str, Any], host: str, kind: str) -> None:
    for found in (rank[kind] for rank in ranks[host]):
        for entry in found["state"]["history"]:
            if entry["to"]:
                assert torch.equal(found["points"][entry["round"]], found["points"][entry["to"]])


def _times(found: dict[str, Any]) -> list[tuple[int, int]]:
    return [(entry["round"], entry["to"]) for entry in found["state"].get("history", [])]


@pytest.mark.parametrize("host", HOSTS)
def test_the_best_checkpoint_is_the_same_on_both_ranks(pool: Pool, tmp_path: Path, host: str) -> None:
    first, second = pool("tests.distributed.acting:best", host, str(tmp_path))
    assert first["path"] == second["path"]
    scores = {point["round"]: point["score"] for point in first["path"] if point["round"]}
    best = max(scores, key=scores.__getitem__)
    assert 2 < best < 30
    for found in (first, second):
        assert found["best"] == str(tmp_path / f"step={best}.ckpt")
        assert found["score"] == scores[best]
        assert found["metric"] == scores[30]
        assert torch.equal(found["saved"], found["points"][best])
        assert not torch.equal(found["saved"], found["points"][best - 1])
    assert first["logged"] == list(range(0, 31, 2))
    assert second["logged"] == []


@pytest.mark.parametrize("host", [*HOSTS, "fsdp2-file"])
@pytest.mark.parametrize(
    ("kind", "stops"), [("hold", [3, 8]), ("guard-nan", [5, 6]), ("guard-nan-adam", [5])]
)
def test_a_resumed_run_ends_with_the_same_bits(
    pool: Pool, tmp_path: Path, host: str, kind: str, stops: list[int]
) -> None:
    """A guard goes back to the state after round 4, which is another than that of the checkpoint of round 5."""
    for found in pool("tests.distributed.acting:resumed", host, kind, stops, str(tmp_path)):
        for stop, (ended, again) in found.items():
            assert torch.equal(ended["parameters"], again["parameters"]), stop
            assert ended["rounds"] == again["rounds"]
            assert ended["scale"] == again["scale"]
            assert _times(ended) == _times(again)
            assert (6, 4) in _times(ended) or kind == "hold"
            assert ended["state"].get("held_rounds") == again["state"].get("held_rounds")


@pytest.mark.parametrize(
    ("host", "then"), [("fsdp2", "fsdp2"), ("ddp", "fsdp2"), ("fsdp2-file", "ddp"), ("fsdp2-file", "fsdp2")]
)
def test_the_kept_state_of_a_checkpoint_saved_after_a_run_is_cut_anew(
    pool: Pool, tmp_path: Path, host: str, then: str
) -> None:
    for ended, again in pool("tests.distributed.acting:moved", host, then, str(tmp_path)):
        assert _times(ended) == _times(again) and (6, 4) in _times(again)
        torch.testing.assert_close(ended["parameters"], again["parameters"], rtol=1e-4, atol=1e-4)
        assert torch.equal(ended["parameters"], again["parameters"]) or "ddp" in (host, then)


@pytest.mark.parametrize("host", HOSTS)
def test_unseen_data_of_unequal_length_are_refused_on_both_ranks(
    pool: Pool, tmp_path: Path, host: str
) -> None:
    """Under FSDP2 the ranks would wait for each other for ever."""
    for message in pool("tests.distributed.acting:uneven", host, str(tmp_path)):
        assert "`unseen` must hold as many batches on every rank" in message
