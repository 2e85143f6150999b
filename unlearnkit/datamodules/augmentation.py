"""Augmentation of a whole batch at once, on the device the batch is on."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad


def crop_and_flip(images: Tensor, generator: torch.Generator, padding: int = 4, flip: bool = True) -> Tensor:
    """Shift each image by up to ``padding`` pixels into a black border, and mirror half of them.

    The same as torchvision's ``RandomCrop(size, padding)`` and ``RandomHorizontalFlip`` in distribution. Draws are
    made on the CPU, so that a seed gives the same images on every device.

    Args:
        images: [batch, channels, height, width], of any type.
        generator: Source of the draws, on the CPU.
        padding: Largest shift, in pixels; 0 does not shift.
        flip: Whether to mirror left and right.

    Returns:
        Images of the same shape and type.

    >>> batch = torch.arange(32.0).view(2, 1, 4, 4)
    >>> crop_and_flip(batch, torch.Generator().manual_seed(0), padding=1).shape
    torch.Size([2, 1, 4, 4])
    """
    n, _, height, width = images.shape
    device = images.device
    rows = torch.randint(2 * padding + 1, (n,), generator=generator)[:, None] + torch.arange(height)
    columns = torch.randint(2 * padding + 1, (n,), generator=generator)[:, None] + torch.arange(width)
    if flip:
        mirrored = torch.rand(n, generator=generator) < 0.5
        columns = torch.where(mirrored[:, None], columns.flip(-1), columns)
    padded = pad(images, (padding,) * 4) if padding else images
    batch = torch.arange(n, device=device)[:, None, None]
    # Advanced indices around a slice put the channels last.
    found = padded[batch, :, rows.to(device)[:, :, None], columns.to(device)[:, None, :]]
    return found.permute(0, 3, 1, 2).contiguous()
