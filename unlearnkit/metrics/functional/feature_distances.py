"""Distances of two sets of images in the features of a network: Frechet and kernel, both through torchmetrics."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn

from unlearnkit.errors import DataError

SUBSET, SUBSETS = 1000, 100
"""Samples in a subset of the kernel distance, and how many subsets are drawn of larger sets."""


class _Known(nn.Module):
    """A feature network for which the features are the input: they are computed once for all metrics."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        return features


def frechet_distance(real: Tensor, generated: Tensor) -> float:
    """Return the Frechet distance of the Gaussians that have two sets' means and covariances (FID in any features).

    ``|mu - mu'|^2 + tr(S + S' - 2 (S S')^(1/2))``, in double precision; biased upwards by few samples.

    Args:
        real: Features, [n, d].
        generated: Features, [m, d].

    Raises:
        DataError: A set has no more samples than features, so that its covariance is singular.

    >>> points = torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
    >>> round(frechet_distance(points, points + torch.tensor([3.0, 4.0])), 4)
    25.0
    """
    from torchmetrics.image.fid import FrechetInceptionDistance

    for name, found in (("real", real), ("generated", generated)):
        if len(found) <= found.shape[1]:
            raise DataError(
                f"`{name}` must hold more samples than there are features ({found.shape[1]}). Found {len(found)}. "
                "Give more samples, or fewer features."
            )
    # Every process has all features already: nothing is to be summed over processes.
    metric = FrechetInceptionDistance(_Known(real.shape[1]), sync_on_compute=False).to(real.device)
    metric.update(real.double(), real=True)
    metric.update(generated.double(), real=False)
    return float(metric.compute())


def kernel_distance(real: Tensor, generated: Tensor, seed: int = 0) -> float:
    """Return the squared maximum mean discrepancy with a cubic kernel (KID in any features); unbiased.

    Of sets of no more than 1000 it is that of as many samples as the smaller one has; of larger ones the mean over
    100 random subsets of 1000.

    Args:
        real: Features, [n, d].
        generated: Features, [m, d].
        seed: Of the subsets.

    Raises:
        DataError: A set has fewer than 2 samples.

    >>> points = torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
    >>> kernel_distance(points[:25], points[25:] + 3) > 1
    True
    """
    from torchmetrics.image.kid import KernelInceptionDistance

    smaller = min(len(real), len(generated))
    if smaller < 2:
        raise DataError(
            f"`real` and `generated` must hold 2 samples or more each. Found {smaller}. Give more samples."
        )
    size = min(SUBSET, smaller)
    subsets = 1 if len(real) == len(generated) == size else SUBSETS
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that it keeps the features, which is what we hand it
        metric = KernelInceptionDistance(
            _Known(real.shape[1]), subsets=subsets, subset_size=size, sync_on_compute=False
        )
    metric.update(real.double().cpu(), real=True)
    metric.update(generated.double().cpu(), real=False)
    with torch.random.fork_rng(devices=[]):  # it draws subsets from torch's own generator
        torch.manual_seed(seed)
        return float(metric.compute()[0])
