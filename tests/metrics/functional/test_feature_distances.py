"""FID against the closed form of Gaussians, KID against its definition, both of a set against itself."""

from __future__ import annotations

import pytest
import torch

from unlearnkit.errors import DataError
from unlearnkit.metrics.functional import feature_distances
from unlearnkit.metrics.functional.feature_distances import frechet_distance, kernel_distance


def draws(n, d, seed):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def shaped(mean, covariance, n=200, seed=0):
    """Return samples whose own mean and covariance are exactly these."""
    points = draws(n, len(mean), seed)
    points = points - points.mean(0)
    white = points @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(points.T))).T
    return white @ torch.linalg.cholesky(covariance).T + mean


def test_fid_of_gaussians_is_the_closed_form():
    root = draws(3, 3, 1)
    first, second = (
        root @ root.T + torch.eye(3),
        torch.diag(torch.tensor([0.5, 1.0, 3.0], dtype=torch.float64)),
    )
    means = torch.tensor([1.0, 0.0, -1.0]).double(), torch.tensor([0.0, 2.0, 1.0]).double()
    values, vectors = torch.linalg.eigh(first)
    half = vectors @ values.sqrt().diag() @ vectors.T
    cross = torch.linalg.eigvalsh(half @ second @ half).sqrt().sum()
    want = (means[0] - means[1]).square().sum() + first.trace() + second.trace() - 2 * cross
    found = frechet_distance(shaped(means[0], first), shaped(means[1], second, seed=3))
    assert found == pytest.approx(want.item(), rel=1e-9)


def test_fid_of_a_set_against_itself_is_0():
    points = draws(100, 8, 0)
    assert abs(frechet_distance(points, points)) < 1e-9
    assert abs(frechet_distance(points.float(), points.float().flip(0))) < 1e-9


def test_fid_of_singular_covariances_is_refused():
    with pytest.raises(DataError, match=r"`generated` must hold more samples .*\(8\). Found 8"):
        frechet_distance(draws(20, 8, 0), draws(8, 8, 0))


def test_kid_is_its_definition():
    real, made = draws(30, 4, 0), draws(30, 4, 1) + 0.5
    kernel = lambda a, b: (a @ b.T / 4 + 1) ** 3  # noqa: E731
    off = lambda k: (k.sum() - k.diagonal().sum()) / (30 * 29)  # noqa: E731
    want = off(kernel(real, real)) + off(kernel(made, made)) - 2 * kernel(real, made).mean()
    assert kernel_distance(real, made) == pytest.approx(want.item(), rel=1e-9)


def test_kid_of_more_samples_is_that_of_subsets_and_of_a_seed(monkeypatch):
    monkeypatch.setattr(feature_distances, "SUBSET", 20)
    real, made = draws(60, 4, 0), draws(40, 4, 1)
    state = torch.get_rng_state()
    first, again, other = (kernel_distance(real, made, seed) for seed in (0, 0, 1))
    assert first == again != other
    assert torch.equal(torch.get_rng_state(), state), "training's own draws go on as before"
    assert abs(first) < 0.3 < kernel_distance(real, made + 1)


def test_kid_of_one_sample_is_refused():
    with pytest.raises(DataError, match="2 samples or more each. Found 1"):
        kernel_distance(draws(5, 2, 0), draws(1, 2, 0))
