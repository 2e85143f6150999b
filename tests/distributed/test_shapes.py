"""Every published architecture, narrowed, under FSDP2: the round of one process, the reference unmoved."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.distributed.pool import Pool
from tests.distributed.shapes import NAMES, rounds
from tests.models.test_shapes import save_chat_tokenizer

pytestmark = [pytest.mark.distributed, pytest.mark.filterwarnings("ignore::UserWarning")]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_chat_tokenizer(tmp_path_factory.mktemp("chat") / "tokenizer")


@pytest.fixture(scope="module")
def ranks(pool: Pool, tokenizer: str) -> list[dict[str, Any]]:
    return pool("tests.distributed.shapes:rounds_on_rank", tokenizer)


@pytest.mark.parametrize("name", NAMES)
def test_sharded_rounds_equal_those_of_one_process(
    ranks: list[dict[str, Any]], tokenizer: str, name: str
) -> None:
    one = rounds(name, tokenizer)
    assert one["moved"]
    assert one["chat"]
    assert one["sharded"] == 0
    first, second = (rank[name] for rank in ranks)
    assert first["sharded"] >= 3  # each block and the root
    assert all(torch.equal(a, b) for a, b in zip(first["parameters"], second["parameters"], strict=True))
    for a, b in zip(first["parameters"], one["parameters"], strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-5)
    assert first["losses"] == pytest.approx(one["losses"], rel=1e-5)
    assert one["base"] == 0.0
    assert first["base"] <= 1e-4
