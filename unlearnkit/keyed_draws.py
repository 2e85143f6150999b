"""Random numbers as functions of a key: every sample of a batch has draws of its own, whatever is drawn beside it."""

from __future__ import annotations

import hashlib
import math

import torch
from torch import Tensor


def row_keys(seed: int, round_: int, rows: Tensor) -> Tensor:
    """Return the key of each row's draws in a round: a function of (seed, round, row), whatever else is in the batch.

    So any division of a batch over processes and micro-batches draws alike for a row, on every device.

    Args:
        seed: Seed of the run.
        round_: Number of the round.
        rows: Row numbers, [batch], int64.

    Returns:
        Keys, [batch], int64.

    >>> keys = row_keys(0, 3, torch.tensor([7, 8, 9]))
    >>> torch.equal(keys[1:], row_keys(0, 3, torch.tensor([8, 9])))
    True
    """
    digest = hashlib.sha256(f"augment/{seed}/{round_}".encode()).digest()
    return _mixed(rows * _GOLDEN + int.from_bytes(digest[:8], "big", signed=True))


def derived(keys: Tensor, number: int) -> Tensor:
    """Return other keys, one for each key: draws of both have nothing to do with each other.

    Args:
        keys: [batch], int64.
        number: Which of its descendants; 0 or above.

    >>> keys = row_keys(0, 0, torch.arange(3))
    >>> bool((derived(keys, 0) != derived(keys, 1)).all())
    True
    """
    # The complement: a key's own words, from which its streams are made, must not become keys.
    return _word(~keys, number + 1)


def integers(keys: Tensor, stream: int, below: int) -> Tensor:
    """Return each key's draw of one number from 0 to ``below - 1``, [batch]; of 2^31 values, so evenly enough.

    Args:
        keys: [batch], int64.
        stream: Which of the key's draws, 1 or above; two draws of one stream are one draw.
        below: Number of outcomes.

    >>> integers(row_keys(0, 0, torch.arange(4)), 1, 10).tolist()
    [7, 7, 5, 1]
    """
    return _shifted(_word(keys, stream), 33) % below


def uniform(keys: Tensor, stream: int, shape: tuple[int, ...] = ()) -> Tensor:
    """Return draws from [0, 1), [batch, *shape], fp32, of 2^24 values.

    Args:
        keys: [batch], int64.
        stream: Which of the key's draws, 1 or above.
        shape: Of what is drawn for one key.

    >>> uniform(row_keys(0, 0, torch.arange(4)), 1, (2, 3)).shape
    torch.Size([4, 2, 3])
    """
    return _shifted(_words(keys, stream, shape), 40).to(torch.float32) / 2**24


def normal(keys: Tensor, stream: int, shape: tuple[int, ...] = ()) -> Tensor:
    """Return draws from the standard normal distribution, [batch, *shape], fp32.

    The inverse distribution function of a number of 52 bits, computed in float64 and rounded: at most 8.3 either way.

    Args:
        keys: [batch], int64.
        stream: Which of the key's draws, 1 or above.
        shape: Of what is drawn for one key.

    >>> keys = row_keys(0, 0, torch.arange(100))
    >>> noise = normal(keys, 1, (1, 8, 8))
    >>> abs(float(noise.mean())) < 0.05, torch.equal(noise[7:9], normal(keys[7:9], 1, (1, 8, 8)))
    (True, True)
    """
    # In the middle of its cell, a number is neither 0 nor 1.
    words = _words(keys, stream, shape)
    middle = _shifted(words, 12, words).to(torch.float64).add_(0.5).mul_(2.0**-51).sub_(1)
    return middle.erfinv_().mul_(math.sqrt(2)).to(torch.float32)


_GOLDEN, _FIRST, _SECOND = (
    word - 2**64 for word in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
)
"""The constants of SplitMix64 (Steele, Lea, Flood 2014), as int64."""


def _word(keys: Tensor, number: int) -> Tensor:
    """Return the word of each key's generator at a position, [batch], int64."""
    return _mixed(keys + torch.full_like(keys, _GOLDEN) * number)


def _words(keys: Tensor, stream: int, shape: tuple[int, ...]) -> Tensor:
    """Return as many words as the shape holds from a generator seeded by each key's word, [batch, *shape]."""
    words = _word(keys, stream)
    if not shape:
        return words
    places = torch.arange(1, math.prod(shape) + 1, device=keys.device) * _GOLDEN
    return _mixed(words[:, None] + places).view(len(keys), *shape)


def _mixed(words: Tensor) -> Tensor:
    """Return SplitMix64's mix of each word, in their place; int64 wraps around as its unsigned words do."""
    shifted = _shifted(words, 30)
    words.bitwise_xor_(shifted).mul_(_FIRST)
    words.bitwise_xor_(_shifted(words, 27, shifted)).mul_(_SECOND)
    return words.bitwise_xor_(_shifted(words, 31, shifted))


def _shifted(words: Tensor, bits: int, out: Tensor | None = None) -> Tensor:
    """Shift right and fill up with zeros, which int64's own shift does not."""
    return torch.bitwise_right_shift(words, bits, out=out).bitwise_and_(2 ** (64 - bits) - 1)
