"""The projection on the cone along which no loss rises, by trying every set of active constraints."""

from __future__ import annotations

from itertools import chain, combinations

import torch
from torch import Tensor


def projected(v: Tensor, gradients: list[Tensor]) -> Tensor:
    """Return the point of ``{d: g.d >= 0 for all g}`` that is nearest to v."""
    sets = chain.from_iterable(combinations(gradients, n) for n in range(len(gradients) + 1))
    candidates = []
    for active in sets:
        d = v
        if active:
            rows = torch.stack(active)
            d = v - torch.linalg.pinv(rows) @ (rows @ v)
        if all(g @ d >= -1e-12 * g.norm() * v.norm() for g in gradients):
            candidates.append(d)
    return min(candidates, key=lambda d: (d - v).norm().item())
