"""Batches of responses: on the device, none without a response."""

from __future__ import annotations

import pytest

from unlearnkit.alignment.scored import scored_batches
from unlearnkit.batches import IGNORE
from unlearnkit.errors import DataError
from unlearnkit.synthetic.toy_preferences import toy_tokens
from unlearnkit.testing import TinyGPT


def test_nested_batches_move_whole() -> None:
    batch = toy_tokens([0], [[0, 2, 2, 5]], second=[[6, 6, 6, 5]])
    (moved,) = scored_batches(TinyGPT().to("meta"), [batch], "candidates")
    assert moved["input_ids"].is_meta
    assert moved["alternative"]["labels"].is_meta


def test_a_row_without_a_response_and_no_rows_at_all() -> None:
    model, batch = TinyGPT(), toy_tokens([0, 1], [[0, 2, 2, 5]] * 2, first=4)
    assert [len(one["index"]) for one in scored_batches(model, [batch, batch], "candidates")] == [2, 2]
    batch["labels"][1] = IGNORE
    with pytest.raises(
        DataError, match="`candidates` must have a response in every row. Found none in row 5"
    ):
        list(scored_batches(model, [batch], "candidates"))
    pair = toy_tokens([0], [[6, 6, 6, 5]], second=[[0, 2, 2, 5]], first=9)
    pair["alternative"]["labels"][:] = IGNORE
    with pytest.raises(DataError, match="`pairs` must have a response in every row. Found none in row 9"):
        list(scored_batches(model, [pair], "pairs"))
    with pytest.raises(DataError, match="`pairs` must hold at least one row. Found none"):
        list(scored_batches(model, [], "pairs"))
