"""Augmentation of a whole batch at once, on the device the batch is on, as each row's own draws say."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from unlearnkit.keyed_draws import integers


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

    >>> from unlearnkit.keyed_draws import row_keys
    >>> batch = torch.arange(32.0).view(2, 1, 4, 4)
    >>> crop_and_flip(batch, row_keys(0, 0, torch.arange(2)), padding=1).shape
    torch.Size([2, 1, 4, 4])
    """
    n, _, height, width = images.shape
    device = images.device
    shifts = 2 * padding + 1
    rows = integers(keys, 1, shifts)[:, None] + torch.arange(height, device=device)
    columns = integers(keys, 2, shifts)[:, None] + torch.arange(width, device=device)
    if flip:
        mirrored = integers(keys, 3, 2) == 1
        columns = torch.where(mirrored[:, None], columns.flip(-1), columns)
    padded = pad(images, (padding,) * 4) if padding else images
    batch = torch.arange(n, device=device)[:, None, None]
    # Advanced indices around a slice put the channels last.
    found = padded[batch, :, rows[:, :, None], columns[:, None, :]]
    return found.permute(0, 3, 1, 2).contiguous()
