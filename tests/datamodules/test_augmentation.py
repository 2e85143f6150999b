"""A batch is augmented as torchvision augments image by image, and a seed is a batch."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import pad

from unlearnkit.datamodules.augmentation import crop_and_flip


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def candidates(image, padding, flip):
    """Return every crop that torchvision's transforms could give, as a set of bytes."""
    size = image.shape[-1]
    padded = pad(image, (padding,) * 4)
    found = set()
    for row in range(2 * padding + 1):
        for column in range(2 * padding + 1):
            crop = padded[:, row : row + size, column : column + size]
            found.add(crop.numpy().tobytes())
            if flip:
                found.add(crop.flip(-1).numpy().tobytes())
    return found


@pytest.mark.parametrize(("padding", "flip"), [(0, False), (0, True), (1, False), (2, True)])
def test_each_image_becomes_one_of_its_crops_and_all_of_them_come(padding, flip):
    image = torch.arange(3 * 5 * 5, dtype=torch.uint8).view(3, 5, 5) + 1
    possible = candidates(image, padding, flip)
    found = crop_and_flip(image.expand(2000, 3, 5, 5), generator(), padding, flip)
    assert found.shape == (2000, 3, 5, 5) and found.dtype == torch.uint8
    assert {crop.contiguous().numpy().tobytes() for crop in found} == possible


def test_images_of_a_batch_are_not_mixed():
    images = torch.arange(1, 9, dtype=torch.float32)[:, None, None, None].expand(8, 1, 4, 4)
    found = crop_and_flip(images, generator(), 1)
    for number, image in enumerate(found, 1):
        assert set(image.unique().tolist()) <= {0.0, float(number)}


def test_a_seed_is_a_batch_and_the_input_stays():
    images = torch.rand(16, 3, 8, 8)
    before = images.clone()
    assert torch.equal(crop_and_flip(images, generator(1)), crop_and_flip(images, generator(1)))
    assert not torch.equal(crop_and_flip(images, generator(1)), crop_and_flip(images, generator(2)))
    assert torch.equal(images, before)
