"""Texts as blocks of one length, each a sequence of its own, cut as MUSE's code cuts them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from unlearnkit.batches import IGNORE, TokenBatch
from unlearnkit.errors import DataError

Cut = Literal["joined", "documents"]
"""Whether blocks run across the borders of documents, or each document starts one."""

SEPARATOR = "\n\n"
"""What stands between two documents (open-unlearning; MUSE's own files are joined already)."""


@dataclass(frozen=True)
class Block:
    """A stretch of text as tokens.

    Attributes:
        index: Number of the block in its data set.
        ids: BOS, where the tokenizer has one, and tokens.
    """

    index: int
    ids: tuple[int, ...]


def text_blocks(
    texts: Sequence[str], tokenizer: Any, length: int, first: int = 0, cut: Cut = "joined"
) -> list[Block]:
    """Tokenise texts and cut them into blocks.

    ``joined`` is MUSE's rule for text files: the texts, joined by an empty line, are tokenised as one without special
    tokens and cut every ``length - 1`` tokens, whatever stands there; BOS goes before each block; the last one is
    topped up from the start of the first one, BOS included. Without a BOS the cut is every ``length`` tokens. Texts
    that fill no block together make a single shorter one. ``documents`` is near its rule for lists of texts: each one
    starts a block of its own, and shorter blocks stay short; where MUSE trims a longer text, further blocks hold the
    rest, and EOS, which MUSE leaves out, ends each text, so that a model learns where it ends. A block without a token
    to predict is left out: without a BOS, a text's last token where it would be alone.

    Args:
        texts: The documents, in order.
        tokenizer: Any tokenizer of transformers.
        length: Tokens of a block.
        first: Index of the first block.
        cut: ``joined`` or ``documents``.

    Raises:
        DataError: There is no text, or a block has no room for a token that can be scored.

    >>> from unlearnkit.datamodules import train_bpe
    >>> found = text_blocks(["ab", "c"], train_bpe([], 259), 4)
    >>> [len(block.ids) for block in found]
    [4, 4]
    """
    bos: list[int] = [] if tokenizer.bos_token_id is None else [int(tokenizer.bos_token_id)]
    step = length - len(bos)
    if step < 1 or length < 2:
        raise DataError(
            f"`max_length` must leave room for a token to predict after the first one. Found blocks of {length}. Use "
            "at least 2, and a model whose context has that many tokens."
        )
    # One long sequence is meant here, of which no model sees more than a block.
    parts = [SEPARATOR.join(texts)] if cut == "joined" else list(texts)
    sequences: list[list[int]] = tokenizer(parts, add_special_tokens=False, verbose=False)["input_ids"]
    if cut == "documents":
        sequences = [[*ids, int(tokenizer.eos_token_id)] for ids in sequences if ids]
    if not any(map(str.strip, texts)) or not any(ids and len(bos) + len(ids) > 1 for ids in sequences):
        raise DataError(
            f"`texts` must have a token to predict. Found {len(texts)} documents without any. Fill them in, or check "
            "that the tokenizer knows their characters."
        )
    whole = [[*bos, *ids[low : low + step]] for ids in sequences for low in range(0, len(ids), step)]
    if cut == "joined" and len(whole) > 1:
        whole[-1] = (whole[-1] + whole[0])[:length]
    # Without a BOS before it a last token by itself is no more to be scored than an empty block.
    kept = [block for block in whole if len(block) > 1]
    return [Block(first + number, tuple(block)) for number, block in enumerate(kept)]


def collate_blocks(blocks: Sequence[Block], pad_id: int) -> TokenBatch:
    """Pad blocks on the right into one batch; all tokens are scored but the first, before which there is nothing.

    Args:
        blocks: The blocks.
        pad_id: Token of the padding, which is told by length.

    >>> batch = collate_blocks([Block(7, (1, 5, 6)), Block(8, (1, 5))], pad_id=0)
    >>> batch["labels"].tolist(), batch["index"].tolist()
    ([[-100, 5, 6], [-100, 5, -100]], [7, 8])
    """
    width = max((len(block.ids) for block in blocks), default=0)
    ids = torch.full((len(blocks), width), pad_id)
    mask = torch.zeros_like(ids)
    labels = torch.full_like(ids, IGNORE)
    for row, block in enumerate(blocks):
        stop = len(block.ids)
        ids[row, :stop] = torch.tensor(block.ids)
        mask[row, :stop] = 1
        labels[row, 1:stop] = ids[row, 1:stop]
    index = torch.tensor([block.index for block in blocks], dtype=torch.long)
    return {"input_ids": ids, "attention_mask": mask, "labels": labels, "index": index}
