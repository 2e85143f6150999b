"""Cutting texts into blocks against MUSE's own lines, transcribed."""

from __future__ import annotations

import pytest
import torch

from unlearnkit.batches import IGNORE
from unlearnkit.datamodules import Block, text_blocks, train_bpe
from unlearnkit.datamodules.text_blocks import collate_blocks
from unlearnkit.errors import DataError

TEXTS = ["The mill burned.", "A bridge was opened on Friday.", "Nobody was hurt."]
TOKENIZER = train_bpe([], 259)


def musecode(text: str, max_len: int) -> list[list[int]]:
    """Return what MUSE's DefaultDataset makes of one text."""
    tokens = torch.tensor(TOKENIZER(text, add_special_tokens=False)["input_ids"])
    found = [
        torch.nn.functional.pad(tokens[i : i + max_len - 1], (1, 0), value=TOKENIZER.bos_token_id)
        for i in range(0, len(tokens), max_len - 1)
    ]
    if len(found[-1]) < max_len:
        found[-1] = torch.concat([found[-1], found[0]], dim=-1)[:max_len]
    return [block.tolist() for block in found]


@pytest.mark.parametrize("length", [2, 7, 12, 23, 67])
def test_joined_blocks_are_those_of_muse(length):
    found = text_blocks(TEXTS, TOKENIZER, length)
    assert [list(block.ids) for block in found] == musecode("\n\n".join(TEXTS), length)
    assert {len(block.ids) for block in found} == {length}
    assert [block.index for block in found] == list(range(len(found)))


def test_texts_that_fill_no_block_make_a_single_shorter_one():
    (block,) = text_blocks(["ab"], TOKENIZER, 2048, first=5)
    assert block == Block(5, (TOKENIZER.bos_token_id, *TOKENIZER("ab")["input_ids"]))


def test_each_document_starts_a_block_where_so_asked_and_nothing_is_lost():
    found = text_blocks(TEXTS, TOKENIZER, 20, cut="documents")
    assert [len(block.ids) for block in found] == [18, 20, 13, 18]
    assert all(block.ids[0] == TOKENIZER.bos_token_id for block in found)
    assert "".join(TOKENIZER.decode(block.ids[1:]) for block in found) == "".join(
        f"{text}<eos>" for text in TEXTS
    )


def test_a_tokenizer_without_bos_uses_the_whole_length():
    plain = train_bpe([], 259)
    plain.bos_token = None
    found = text_blocks(TEXTS, plain, 10)
    assert [len(block.ids) for block in found] == [10] * 7
    assert found[-1].ids[-4:] == found[0].ids[:4]


@pytest.mark.parametrize("length", [2, 3, 4, 16])
def test_every_block_has_a_token_to_score(length):
    """A sequence without one would count among those that NPO and DPO average over."""
    plain = train_bpe([], 259)
    plain.bos_token = None
    found = text_blocks(["abc", "abcd", "abcdef"], plain, length, cut="documents")
    assert min(len(block.ids) for block in found) > 1
    assert [block.index for block in found] == list(range(len(found)))
    assert (collate_blocks(found, 0)["labels"] != IGNORE).any(1).all()
    with pytest.raises(
        DataError, match="`texts` must have a token to predict. Found 1 documents without any"
    ):
        text_blocks(["a"], plain, length)


def test_texts_without_tokens_are_refused():
    with pytest.raises(
        DataError, match="`texts` must have a token to predict. Found 2 documents without any"
    ):
        text_blocks(["", ""], TOKENIZER, 10)


@pytest.mark.parametrize("length", [0, 1])
def test_a_block_without_room_is_refused(length):
    with pytest.raises(DataError, match=f"`max_length` must leave room .* Found blocks of {length}"):
        text_blocks(TEXTS, TOKENIZER, length)


def test_all_tokens_but_the_first_are_scored():
    blocks = text_blocks(TEXTS, TOKENIZER, 20, cut="documents")
    batch = collate_blocks(blocks, TOKENIZER.pad_token_id)
    assert batch["attention_mask"].sum(1).tolist() == [18, 20, 13, 18]
    scored = batch["labels"] != IGNORE
    assert torch.equal(scored.sum(1), batch["attention_mask"].sum(1) - 1)
    assert torch.equal(batch["labels"][scored], batch["input_ids"][scored])
    assert not scored[:, 0].any()
    assert collate_blocks([], 0)["input_ids"].shape == (0, 0)
