"""Augmentation of a whole batch at once, on the device the batch is on, as each row's own draws say."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor
from torch.nn.functional import pad


def row_keys(seed: int, round_: int, rows: Tensor) -> Tensor:
    """Return the key of each row's draws in a round: a function of (seed, round, row), whatever else is in the batch.

    So any division of a batch over processes and micro-batches augments a row alike, on every device.

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


def crop_and_flip(images: Tensor, keys: Tensor, padding: int = 4, flip: bool = True) -> Tensor:
    """Shift each image by up to ``padding`` pixels into a black border, and mirror half of them.

    The same as torchvision's ``RandomCrop(size, padding)`` and ``RandomHorizontalFlip`` in distribution.

    Args:
        images: [batch, channels, height, width], of any type.
        keys: What each image's draws are made of, [batch], int64, on the images' device (``row_keys``).
        padding: Largest shift, in pixels; 0 does not shift.
        flip: Whether to mirror left and right.

    Returns:
        Images of the same shape and type.

    >>> batch = torch.arange(32.0).view(2, 1, 4, 4)
    >>> crop_and_flip(batch, row_keys(0, 0, torch.arange(2)), padding=1).shape
    torch.Size([2, 1, 4, 4])
    """
    n, _, height, width = images.shape
    device = images.device
    shifts = 2 * padding + 1
    rows = _drawn(keys, 1, shifts)[:, None] + torch.arange(height, device=device)
    columns = _drawn(keys, 2, shifts)[:, None] + torch.arange(width, device=device)
    if flip:
        mirrored = _drawn(keys, 3, 2) == 1
        columns = torch.where(mirrored[:, None], columns.flip(-1), columns)
    padded = pad(images, (padding,) * 4) if padding else images
    batch = torch.arange(n, device=device)[:, None, None]
    # Advanced indices around a slice put the channels last.
    found = padded[batch, :, rows[:, :, None], columns[:, None, :]]
    return found.permute(0, 3, 1, 2).contiguous()


_GOLDEN, _FIRST, _SECOND = (
    word - 2**64 for word in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
)
"""The constants of SplitMix64 (Steele, Lea, Flood 2014), as int64."""


def _drawn(keys: Tensor, number: int, below: int) -> Tensor:
    """Return each key's draw of one number from 0 to ``below - 1``, [batch]; of 2^31 values, so evenly enough."""
    return _shifted(_mixed(keys + torch.full_like(keys, _GOLDEN) * number), 33) % below


def _mixed(words: Tensor) -> Tensor:
    """Return SplitMix64's mix of each word; int64 wraps around as its unsigned words do."""
    words = (words ^ _shifted(words, 30)) * _FIRST
    words = (words ^ _shifted(words, 27)) * _SECOND
    return words ^ _shifted(words, 31)


def _shifted(words: Tensor, bits: int) -> Tensor:
    """Shift right and fill up with zeros, which int64's own shift does not."""
    shifted: Tensor = (words >> bits) & (2 ** (64 - bits) - 1)
    return shifted
