"""A batch is augmented as torchvision augments image by image, and each row's draws are its own."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import pad

from unlearnkit.datamodules.augmentation import crop_and_flip
from unlearnkit.keyed_draws import row_keys


def keys(n, seed=0, round_=0):
    return row_keys(seed, round_, torch.arange(n))


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
    found = crop_and_flip(image.expand(2000, 3, 5, 5), keys(2000), padding, flip)
    assert found.shape == (2000, 3, 5, 5) and found.dtype == torch.uint8
    assert {crop.contiguous().numpy().tobytes() for crop in found} == possible


@pytest.mark.parametrize("of", ["rows of a round", "rounds of a row"])
def test_crops_come_equally_often(of):
    """50 outcomes in 20 000 draws: chi square with 49 degrees of freedom is above 95 once in 10 000 cases."""
    n, image = 20_000, torch.arange(25, dtype=torch.uint8).view(1, 5, 5) + 1
    drawn = keys(n) if of == "rows of a round" else torch.cat([keys(1, round_=r) for r in range(n)])
    found = crop_and_flip(image.expand(n, 1, 5, 5), drawn, 2)
    counts = found.flatten(1).unique(dim=0, return_counts=True)[1].double()
    assert len(counts) == 50
    assert ((counts - n / 50) ** 2 / (n / 50)).sum() < 95


def test_images_of_a_batch_are_not_mixed():
    images = torch.arange(1, 9, dtype=torch.float32)[:, None, None, None].expand(8, 1, 4, 4)
    found = crop_and_flip(images, keys(8), 1)
    for number, image in enumerate(found, 1):
        assert set(image.unique().tolist()) <= {0.0, float(number)}


def test_keys_are_a_batch_and_the_input_stays():
    images = torch.rand(16, 3, 8, 8)
    before = images.clone()
    first = crop_and_flip(images, keys(16, seed=1))
    assert torch.equal(first, crop_and_flip(images, keys(16, seed=1)))
    for other in (keys(16, seed=2), keys(16, seed=1, round_=1)):
        assert not torch.equal(first, crop_and_flip(images, other))
    assert torch.equal(images, before)


def test_a_row_is_augmented_alike_in_any_division_of_the_batch():
    images, rows = (
        torch.rand(17, 3, 8, 8),
        torch.randperm(1000, generator=torch.Generator().manual_seed(0))[:17],
    )
    whole = crop_and_flip(images, row_keys(3, 5, rows))
    for world in (2, 3):
        for rank in range(world):
            own = slice(rank, None, world)
            assert torch.equal(crop_and_flip(images[own], row_keys(3, 5, rows[own])), whole[own])
