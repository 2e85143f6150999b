"""The benchmark of image input runs both ways on the same work, and the README says what was measured."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from benchmarks import images

ROOT = Path(__file__).resolve().parents[2]


def test_both_ways_give_every_image_once_in_the_same_form():
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (300, 3, 32, 32), dtype=torch.uint8, generator=generator)
    labels = torch.arange(300)
    mine = list(images.ours(pixels, labels, torch.device("cpu")))
    assert sorted(int(label) for _, found in mine for label in found) == list(range(300))
    assert mine[0][0].shape == (256, 3, 32, 32) and mine[0][0].dtype == torch.uint8
    picture, label = images.Pictures(pixels, labels)[7]
    assert picture.shape == (3, 32, 32) and label == 7 and picture.dtype == torch.float32


def test_the_readme_holds_the_results():
    results = json.loads((ROOT / "benchmarks" / "results" / "images.json").read_text("utf-8"))
    assert images.table(results) in (ROOT / "benchmarks" / "README.md").read_text("utf-8")
