"""A generator that draws real images, or others in place of classes that it forgot: its numbers are known."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from unlearnkit.keyed_draws import integers


class DrawsRealImages(nn.Module):
    """Sample the image of a bank that each key says, of the class asked for or of the one that took its place.

    Args:
        images: [n, channels, height, width], uint8.
        labels: [n].
        instead: Class drawn in place of another; -1 draws black, -2 white.
    """

    def __init__(self, images: Tensor, labels: Tensor, instead: dict[int, int] | None = None) -> None:
        super().__init__()
        self.images, self.labels, self.instead = images, labels, instead or {}
        self.level = nn.Parameter(torch.tensor(0.5))
        self.asked: list[dict[str, object]] = []

    def sample(self, classes: Tensor, *, keys: Tensor, **how: object) -> Tensor:
        assert not self.training
        self.asked.append(how)
        return torch.stack([self._one(int(label), keys[row : row + 1]) for row, label in enumerate(classes)])

    def _one(self, label: int, key: Tensor) -> Tensor:
        drawn = self.instead.get(label, label)
        if drawn < 0:
            return torch.full_like(self.images[0], 0 if drawn == -1 else 255)
        own = (self.labels == drawn).nonzero()[:, 0]
        return self.images[own[integers(key, 1, len(own))[0]]]

    def losses(self, batch: dict[str, Tensor]) -> Tensor:
        return (batch["inputs"].float() / 255 - self.level).square().flatten(1).sum(-1)

    def counts(self, batch: dict[str, Tensor]) -> Tensor:
        return torch.full_like(batch["targets"], batch["inputs"][0].numel())
