"""The benchmark of gains compares ways that find the same numbers, and the README holds what it found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchmarks import gains

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(("name", "tolerance"), [("difference", 0.02), ("jvp", 1e-4), ("vmap", 1e-4)])
def test_every_way_finds_the_products_of_the_loop(name, tolerance):
    assert gains.error(8, True, name) < tolerance


def test_the_forward_pass_is_over_the_same_samples():
    world = gains.World(8, small=True)
    assert gains.forward(world).shape == gains.loop(world).shape == (8,)
    assert torch.isfinite(gains.forward(world)).all()


def test_n_gradients_at_once_are_left_out_where_they_are_many():
    assert [("vmap" in gains.ways_for(n)) for n in gains.NUMBERS] == [True, True, False]


def test_the_readme_holds_the_results():
    results = json.loads((ROOT / "benchmarks" / "results" / "gains.json").read_text("utf-8"))
    assert gains.table(results) in (ROOT / "benchmarks" / "README.md").read_text("utf-8")


def test_memory_of_differences_is_constant_in_the_number_of_candidates():
    results = json.loads((ROOT / "benchmarks" / "results" / "gains.json").read_text("utf-8"))
    peaks = [found["difference"] for found in results["peak_memory_mib"].values()]
    assert max(peaks) - min(peaks) < 0.2 * results["gradient_mib"]
