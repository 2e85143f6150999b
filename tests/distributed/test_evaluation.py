"""Validation, test and prediction on two processes: each row counts once, and training does not notice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.distributed.evaluation import predicted, run
from tests.distributed.pool import Pool

pytestmark = [pytest.mark.distributed, pytest.mark.filterwarnings("ignore::UserWarning")]

HOSTS = ("ddp", "fsdp2")
KINDS = (*HOSTS, "fsdp2-as-with-nccl")


@pytest.fixture(scope="module")
def ranks(pool: Pool) -> dict[str, list[dict[str, Any]]]:
    found = {host: pool("tests.distributed.evaluation:run", host) for host in ("ddp", "fsdp2")}
    return found | {"fsdp2-as-with-nccl": pool("tests.distributed.evaluation:as_with_nccl", "fsdp2")}


@pytest.fixture(scope="module")
def alone() -> dict[str, Any]:
    return run(None)


@pytest.mark.parametrize("host", KINDS)
def test_losses_of_three_rows_are_those_of_one_process(
    ranks: dict[str, Any], alone: dict[str, Any], host: str
) -> None:
    for found in ranks[host]:
        for how, one in alone["losses"].items():
            stage = how.split()[0]
            assert set(one) == {f"{stage}/forget_loss", f"{stage}/retain_loss"}
            assert found["losses"][how] == pytest.approx(one, rel=1e-6), how


@pytest.mark.parametrize("host", KINDS)
def test_validation_between_rounds_logs_what_one_process_logs(
    ranks: dict[str, Any], alone: dict[str, Any], host: str
) -> None:
    one = alone["fit"]["seen"]
    assert len(one) == 2
    assert one[0] != one[1]
    for found in ranks[host]:
        assert len(found["fit"]["seen"]) == 2
        for here, there in zip(found["fit"]["seen"], one, strict=True):
            assert here == pytest.approx(there, rel=1e-6)
        for a, b in zip(found["fit"]["parameters"], alone["fit"]["parameters"], strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("host", KINDS)
def test_training_ends_with_the_bits_it_has_without_validation(ranks: dict[str, Any], host: str) -> None:
    for found in ranks[host]:
        assert len(found["with"]["seen"]) == 2
        assert found["without"]["seen"] == []
        pairs = zip(found["with"]["parameters"], found["without"]["parameters"], strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)


def test_parameters_are_shards_again_afterwards(pool: Pool, tmp_path: Path) -> None:
    """FSDP2 keeps the root's whole after a forward pass without gradients: the memory that sharding is to save."""
    for found in pool("tests.distributed.evaluation:gathered_after", "fsdp2", str(tmp_path)):
        assert len(found) == 6
        assert not any(found.values()), found


def _rows(folder: Path, name: str) -> list[tuple[str, int, str]]:
    loaders = json.loads((folder / name).read_text())["predictions"]
    return [
        (row["set"], row["index"], row["answer"]) for loader in loaders for batch in loader for row in batch
    ]


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("host", HOSTS)
def test_each_row_is_predicted_once_over_all_ranks(pool: Pool, tmp_path: Path, host: str, size: int) -> None:
    predicted(None, str(tmp_path / "alone"), size)
    pool("tests.distributed.evaluation:predicted", host, str(tmp_path), size)
    one = _rows(tmp_path / "alone", "predictions.json")
    parts = [_rows(tmp_path, f"predictions-rank{rank}.json") for rank in range(2)]
    assert [len(part) for part in parts] == [4, 2]
    assert sorted(parts[0] + parts[1]) == sorted(one)
    assert len({row[:2] for row in one}) == len(one) == 6
    # What made ranks wait for each other: rows that need unequal numbers of forward passes.
    assert len({len(answer) for *_, answer in one}) > 1


@pytest.mark.parametrize("host", HOSTS)
def test_outputs_of_other_models_are_of_own_rows_only(pool: Pool, host: str) -> None:
    for rank, (found, want, equal) in enumerate(pool("tests.distributed.evaluation:outputs", host)):
        assert found == want == [3 - rank, 3]
        assert equal


def test_loaders_of_unequal_length_are_refused_where_they_would_wait_for_ever(pool: Pool) -> None:
    for message in pool("tests.distributed.evaluation:unequal", "fsdp2"):
        assert "`dataloaders` must hold as many batches on every rank" in message
        assert "Found [[2], [1]]" in message


@pytest.mark.parametrize("host", HOSTS)
def test_a_side_of_fewer_rows_than_processes_is_refused_on_all(pool: Pool, tmp_path: Path, host: str) -> None:
    for message in pool("tests.distributed.evaluation:too_few", host, str(tmp_path)):
        assert "`forget` must hold a sample for each process. Found 1 of them for 2 processes" in message
        assert message.endswith("Use 1 device, or add samples.")
