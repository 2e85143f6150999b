"""Precision and recall against a naive transcription, at their ends, in chunks."""

from __future__ import annotations

import pytest
import torch

from unlearnkit.errors import DataError
from unlearnkit.metrics.functional import precision_recall as file
from unlearnkit.metrics.functional.precision_recall import precision_recall


def naive(samples, manifold, k):
    """Say of each sample whether some ball of the manifold holds it, one distance at a time."""
    radii = [sorted(float((a - b).norm()) for b in manifold)[k] for a in manifold]
    inside = [
        any(float((x - a).norm()) <= radius for a, radius in zip(manifold, radii, strict=True))
        for x in samples
    ]
    return sum(inside) / len(inside)


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("rows", [4, 1024])
def test_against_a_naive_transcription(monkeypatch, k, rows):
    monkeypatch.setattr(file, "ROWS", rows)
    generator = torch.Generator().manual_seed(0)
    real = torch.randn(30, 3, generator=generator).double()
    made = (torch.randn(20, 3, generator=generator) * 1.5 + 0.5).double()
    found = precision_recall(real, made, k)
    assert found == pytest.approx((naive(made, real, k), naive(real, made, k)))
    assert 0 < found[0] < 1 and 0 < found[1] < 1


def test_the_ends():
    points = torch.randn(20, 4, generator=torch.Generator().manual_seed(1))
    assert precision_recall(points, points) == (1, 1)
    assert precision_recall(points, points + 100) == (0, 0)
    collapsed = points[:1] + 1e-3 * torch.randn(20, 4, generator=torch.Generator().manual_seed(2))
    precision, recall = precision_recall(points, collapsed)
    assert precision == 1 and recall < 0.1, "one good image again and again covers nothing"


def test_too_few_are_refused():
    with pytest.raises(
        DataError, match=r"`generated` must hold more samples than `neighbours` \(3\). Found 3"
    ):
        precision_recall(torch.zeros(9, 2), torch.zeros(3, 2))
