"""Precision and recall of generated images by nearest neighbours, which torchmetrics does not have."""

from __future__ import annotations

import torch
from torch import Tensor

from unlearnkit.errors import DataError

ROWS = 1024
"""Rows of the matrix of distances that are in memory at a time."""


def precision_recall(real: Tensor, generated: Tensor, neighbours: int = 3) -> tuple[float, float]:
    """Return how much of the generated set looks real, and how much of the real set is covered.

    Kynkaanniemi et al. (2019): a sample lies in a set's manifold where it is no farther from one of the set's samples
    than that one is from its own k-th nearest neighbour in the set. Precision is the fraction of generated samples in
    the real manifold, recall that of real samples in the generated one. Both depend on the numbers of samples.

    Args:
        real: Features, [n, d].
        generated: Features, [m, d].
        neighbours: The k of the k-th nearest neighbour, a sample itself not counted.

    Raises:
        DataError: A set has no more samples than ``neighbours``.

    >>> line = torch.arange(10.0)[:, None]
    >>> precision_recall(line, line[:5], neighbours=1)
    (1.0, 0.6)
    """
    for name, found in (("real", real), ("generated", generated)):
        if len(found) <= neighbours:
            raise DataError(
                f"`{name}` must hold more samples than `neighbours` ({neighbours}). Found {len(found)}. "
                "Give more samples, or fewer neighbours."
            )
    real, generated = real.double(), generated.double()
    return _covered(generated, real, neighbours), _covered(real, generated, neighbours)


def _covered(samples: Tensor, manifold: Tensor, neighbours: int) -> float:
    """Return the fraction of samples that lie in a set's manifold."""
    # A sample is its own nearest neighbour, at 0: hence one more. Exact distances, as the fast ones are not 0 there.
    radii = torch.cat(
        [_distances(part, manifold).kthvalue(neighbours + 1).values for part in torch.split(manifold, ROWS)]
    )
    inside = [(_distances(part, manifold) <= radii).any(-1) for part in torch.split(samples, ROWS)]
    return torch.cat(inside).double().mean().item()


def _distances(left: Tensor, right: Tensor) -> Tensor:
    return torch.cdist(left, right, compute_mode="donot_use_mm_for_euclid_dist")
