"""Probabilities in JSON at two bytes each: what comes back, and damaged content."""

from __future__ import annotations

import json
import math

import pytest
import torch

from unlearnkit.errors import ArtifactError
from unlearnkit.evaluators.packed import pack, pack_images, unpack, unpack_images
from unlearnkit.metrics.functional.membership import js_divergence


def rows(seed: int, n: int = 6000, classes: int = 200) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, classes, generator=generator).mul(3).softmax(-1)


def test_200_classes_and_6000_rows_stay_small_and_keep_the_divergence() -> None:
    first, second = rows(0), rows(1)
    text = json.dumps(pack(first))
    assert len(text) < 3.3e6  # 1.2 million numbers; as JSON's own they take 25 MB
    back = unpack(json.loads(text))
    torch.testing.assert_close(back, first, rtol=5e-4, atol=6e-8)
    expected = js_divergence(first, second).mean().item()
    assert js_divergence(back, unpack(pack(second))).mean().item() == pytest.approx(expected, rel=1e-4)


def test_what_is_not_a_number_stays_so() -> None:
    found = unpack(pack(torch.tensor([[math.nan, 0.5]])))
    assert math.isnan(found[0, 0]) and found[0, 1] == 0.5


@pytest.mark.parametrize(
    "damage",
    [
        {"base64": "ADQ"},
        {"base64": "ADQAOg==" * 2},
        {"base64": "A!QAOg=="},
        {"shape": [1, 3]},
        {"type": "no type"},
        {"base64": None},
    ],
)
def test_damaged_content_is_refused(damage: dict[str, object]) -> None:
    with pytest.raises(ArtifactError, match="`packed` must be what `pack` returned, whole"):
        unpack(pack(torch.tensor([[0.25, 0.75]])) | damage)
    with pytest.raises(ArtifactError, match="`packed` must be what"):
        unpack([[0.25, 0.75]])


def test_images_come_back_as_they_were() -> None:
    images = torch.randint(
        0, 256, (2, 3, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    back = unpack_images(json.loads(json.dumps(pack_images(images))))
    assert torch.equal(back, images)
    flat = pack_images(torch.zeros(10, 3, 32, 32, dtype=torch.uint8))
    assert len(flat["zlib"]) < 200


@pytest.mark.parametrize("damage", [{"zlib": "ADQ"}, {"zlib": None}, {"shape": [3]}])
def test_damaged_images_are_refused(damage: dict[str, object]) -> None:
    with pytest.raises(ArtifactError, match="`packed` must be what `pack_images` returned, whole"):
        unpack_images(pack_images(torch.zeros(1, 1, 2, 2, dtype=torch.uint8)) | damage)
