"""Tiny models and batches in the real shapes, for tests and notebooks."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from unlearnkit.batches import ForgetRetainBatch, LabelledBatch


class ToyClassifier(nn.Module):
    """A linear classifier that speaks the model protocol: ``losses``, ``counts``, ``units``.

    Args:
        features: Number of inputs.
        classes: Number of classes.
        seed: Seed of the weights.
        dtype: Type of the weights.
    """

    def __init__(
        self, features: int = 5, classes: int = 3, seed: int = 0, dtype: torch.dtype = torch.float32
    ) -> None:
        super().__init__()
        self.layer = nn.Linear(features, classes, dtype=dtype)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))

    def forward(self, batch: LabelledBatch) -> Tensor:
        """Return logits [batch, classes]."""
        logits: Tensor = self.layer(batch["inputs"])
        return logits

    def losses(self, batch: LabelledBatch) -> Tensor:
        """Return the negative log-likelihood of each sample, [batch]."""
        return cross_entropy(self(batch), batch["targets"], reduction="none")

    def counts(self, batch: LabelledBatch) -> Tensor:
        """Return ones, [batch]."""
        return torch.ones_like(batch["targets"])

    def units(self, batch: LabelledBatch) -> tuple[Tensor, Tensor, Tensor]:
        """Return logits [batch, 1, classes], targets [batch, 1] and mask [batch, 1]."""
        targets = batch["targets"][:, None]
        return self(batch)[:, None], targets, torch.ones_like(targets, dtype=torch.bool)


def toy_batch(
    size: int, features: int = 5, classes: int = 3, seed: int = 0, dtype: torch.dtype = torch.float32
) -> LabelledBatch:
    """Return a seeded random labelled batch."""
    generator = torch.Generator().manual_seed(seed)
    return {
        "inputs": torch.randn(size, features, generator=generator, dtype=torch.float64).to(dtype),
        "targets": torch.randint(classes, (size,), generator=generator),
        "index": torch.arange(size),
    }


def toy_pair(
    forget: int = 4,
    retain: int = 6,
    features: int = 5,
    classes: int = 3,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
) -> ForgetRetainBatch:
    """Return a seeded random pair of batches of unequal sizes."""
    return {
        "forget": toy_batch(forget, features, classes, 2 * seed, dtype),
        "retain": toy_batch(retain, features, classes, 2 * seed + 1, dtype),
    }


def toy_dataset(size: int, features: int = 5, classes: int = 3, seed: int = 0) -> list[tuple[Tensor, int]]:
    """Return a seeded map-style data set of (input, target) pairs."""
    batch = toy_batch(size, features, classes, seed)
    return [(inputs, int(target)) for inputs, target in zip(batch["inputs"], batch["targets"], strict=True)]
