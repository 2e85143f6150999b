"""The smallest model that speaks the protocol of diffusion: one linear layer, in float64, for tests of objectives."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from unlearnkit.batches import ImageTraits
from unlearnkit.keyed_draws import integers, normal, row_keys, uniform

CLASSES, SHAPE = 4, (1, 2, 2)


class TinyDiffusion(nn.Module):
    """Predict the noise of a 2 x 2 image from its noised pixels, its time and its class.

    Args:
        seed: Of the weights.
        dropout: Probability with which a sample's class is dropped, unless the batch says ``conditions``.
    """

    timesteps = 20

    def __init__(self, seed: int = 0, dropout: float = 0.5) -> None:
        super().__init__()
        self.traits = ImageTraits(CLASSES, 1, 2)
        self.dropout = dropout
        self.layer = nn.Linear(4 + 1 + CLASSES + 1, 4, dtype=torch.float64)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))

    def noised(self, batch: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return noised pixels, time steps, noise and conditions."""
        keys, inputs = batch["keys"], batch["inputs"]
        inputs = inputs.double() / 127.5 - 1 if inputs.dtype == torch.uint8 else inputs.double()
        steps = batch["steps"] if "steps" in batch else integers(keys, 2, self.timesteps)
        noise = normal(keys, 1, SHAPE).double()
        kept = (steps.double() + 1) / (self.timesteps + 1)
        kept = kept[:, None, None, None]
        dropped = uniform(keys, 3) < self.dropout
        default = torch.where(dropped, CLASSES, batch["targets"])
        conditions = batch.get("conditions", default)
        return (1 - kept).sqrt() * inputs + kept.sqrt() * noise, steps, noise, conditions

    def predict(self, noised: Tensor, steps: Tensor, conditions: Tensor) -> Tensor:
        """Return the predicted noise, [batch, 1, 2, 2]."""
        told = nn.functional.one_hot(conditions, CLASSES + 1).double()
        time = steps.double()[:, None] / self.timesteps
        found: Tensor = self.layer(torch.cat([noised.flatten(1), time, told], 1))
        return found.view(-1, *SHAPE)

    def forward(self, batch: Any) -> Tensor:
        """Return the prediction for the batch's own draws."""
        noised, steps, _, conditions = self.noised(batch)
        return self.predict(noised, steps, conditions)

    def losses(self, batch: Any) -> Tensor:
        """Return the squared error summed over pixels, [batch]."""
        _, _, noise, _ = self.noised(batch)
        return (self(batch) - noise).square().flatten(1).sum(1)

    def counts(self, batch: Any) -> Tensor:
        """Return fours, [batch]."""
        return torch.full_like(batch["targets"], 4)

    def sample(self, classes: Tensor, *, seed: int = 0, steps: int, guidance: float, **_: Any) -> Tensor:
        """Return bytes that are a function of weights, class, seed and settings, [n, 1, 2, 2]."""
        drawn = normal(row_keys(seed, 0, torch.arange(len(classes))), 1, SHAPE).double()
        found = self.predict(drawn, torch.full_like(classes, steps), classes) * guidance
        return (found.sigmoid() * 255).to(torch.uint8)


def diffusion_batch(size: int, seed: int = 0) -> dict[str, Tensor]:
    """Return random bytes with classes and keys."""
    generator = torch.Generator().manual_seed(seed)
    return {
        "inputs": torch.randint(256, (size, *SHAPE), generator=generator, dtype=torch.uint8),
        "targets": torch.randint(CLASSES, (size,), generator=generator),
        "index": torch.arange(size),
        "keys": row_keys(seed, 0, torch.arange(size)),
    }
