"""Replay: keep what the target would have drawn of the other classes, near the weights that drew it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from unlearnkit.errors import ConfigurationError
from unlearnkit.keyed_draws import derived, integers, row_keys
from unlearnkit.objectives.base import (
    Objective,
    PerSample,
    Reference,
    UnlearnableModel,
    require_not_negative,
    require_reference,
)
from unlearnkit.objectives.denoising import FISHER, REPLAYED, conditioned, require_classes, require_keys
from unlearnkit.objectives.sample_fisher import fisher_distance, gradients_on, sample_fisher


class _Kept(NamedTuple):
    """What a run has of its target: samples [n, channels, height, width], classes [n], weights of the distance."""

    images: Tensor
    labels: Tensor
    fisher: dict[str, Tensor]


class Replay(Objective):
    """Minimise ``gamma L(samples of theta*) + distance sum F (theta - theta*)^2``: SA's retain side (Heng, Soh 2023).

    The samples are the target's own, of the classes that are kept, drawn once before the first round, seeded by class.
    A round denoises as many of them as its retain batch has rows, under their class, which is never dropped; which
    ones is drawn by the rows' keys. No retain image is looked at. Samples and ``F`` are functions of target and seed,
    so that a resumed run makes the same again instead of keeping them in checkpoints.

    ``F`` is the mean over samples of ``(sum_t grad l_t)^2``, ``l_t`` the squared error summed over a sample's values,
    as published; the sum over all time steps is estimated from evenly placed ones. The loss being a mean over the
    values of a sample, the distance is divided by their number, so that ``distance`` is beside the loss what it is
    beside the published sum. Here the samples of ``F`` are those of the kept classes.

    Args:
        per_class: Samples of each kept class, 500 as published.
        gamma: Weight of their loss, 0 or above; 1 as published.
        distance: Weight of the distance, 0 or above (0: not computed); 10 as published.
        fisher_samples: Samples of each class that ``F`` is estimated on; None takes all.
        fisher_steps: Time steps that it is estimated on.
        steps: Of the sampler.
        guidance: Of the sampler, s in ``(1 + s) eps(c) - s eps(no class)``.
        eta: Of the sampler: 1 is ancestral, 0 deterministic.
        batch_size: Samples drawn at a time.
        classes: Classes to keep; None takes the data module's.
        seed: Of the samples.

    Raises:
        ConfigurationError: A number is out of its range; classes to keep are unknown; the reference cannot sample, or
            gives images of another size than the batch's.

    >>> Replay(per_class=8, distance=0.0, classes=[0, 1]).labels().tolist()
    [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1]
    """

    role = "retain"
    needs_reference = True

    def __init__(
        self,
        per_class: int = 500,
        gamma: float = 1.0,
        distance: float = 10.0,
        fisher_samples: int | None = None,
        fisher_steps: int = 50,
        steps: int = 50,
        guidance: float = 2.0,
        eta: float = 1.0,
        batch_size: int = 128,
        classes: list[int] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        numbers = {
            "per_class": per_class,
            "fisher_steps": fisher_steps,
            "steps": steps,
            "batch_size": batch_size,
        }
        numbers |= {} if fisher_samples is None else {"fisher_samples": fisher_samples}
        for name, value in numbers.items():
            if value < 1:
                raise ConfigurationError(f"`{name}` must be at least 1. Found {value}. Use e.g. {name}=50.")
        self.per_class = per_class
        self.gamma = require_not_negative("gamma", gamma)
        self.distance = require_not_negative("distance", distance)
        self.fisher_samples = min(per_class, fisher_samples or per_class)
        self.fisher_steps = fisher_steps
        self.sampling = {"steps": steps, "guidance": guidance, "eta": eta, "batch_size": batch_size}
        self.classes = classes
        self.seed = seed
        self._bound: list[int] | None = None
        # Not a buffer: it belongs to the target, and is made again rather than saved.
        self._kept: _Kept | None = None

    def bind(self, datamodule: Any) -> None:
        """Take the classes that are kept from the data module; drop an earlier run's samples."""
        self._bound = getattr(datamodule, "retained_classes", None)
        self._kept = None

    def labels(self) -> Tensor:
        """Return the class of each sample, [samples], in order.

        Raises:
            ConfigurationError: Nobody has said which classes are kept.
        """
        chosen = self.classes or self._bound
        if not chosen:
            raise ConfigurationError(
                "`classes` must say which classes Replay keeps where no data module does. Found None. Pass e.g. "
                "classes=[0, 1, 2], or train with DiffusionImages."
            )
        return torch.tensor(sorted(chosen)).repeat_interleave(self.per_class)

    def forward(self, model: UnlearnableModel, batch: Any, reference: Reference | None = None) -> PerSample:
        """Return each replayed sample's weighted squared error [batch], and its number of values [batch]."""
        kept = self._of(reference)
        if kept.images.shape[1:] != batch["inputs"].shape[1:]:
            raise ConfigurationError(
                "`model` must sample images like those that it is trained on, for Replay to denoise them. Found "
                f"samples of {tuple(kept.images.shape[1:])} and inputs of {tuple(batch['inputs'].shape[1:])}. Use a "
                "model of pixels."
            )
        rows = integers(require_keys(batch, self), REPLAYED, len(kept.labels))
        labels = kept.labels[rows]
        replayed = conditioned(batch, labels, kept.images[rows]) | {"targets": labels}
        return PerSample(self.gamma * model.losses(replayed), model.counts(replayed))

    def penalty(self, model: Any, reference: Reference | None = None) -> Tensor | None:
        """Return the weighted distance to the target's weights, 0-d."""
        if self.distance == 0.0:
            return None
        kept = self._of(reference)
        target: Any = require_reference(reference, self)
        return self.distance * fisher_distance(model, target, kept.fisher)

    def _of(self, reference: Reference | None) -> _Kept:
        """Return samples and Fisher information of the target, made at the first call."""
        if self._kept is None:
            target: Any = require_reference(reference, self)
            require_classes(target, self)
            device = next(target.parameters()).device
            labels = self.labels().to(device)
            # Before the first pass: FSDP2 settles then which gathered parameters take gradients.
            with gradients_on(target):
                with torch.no_grad():
                    images = target.sample(labels, seed=self.seed, **self.sampling)
                fisher = self._fisher(target, images, labels) if self.distance else {}
            self._kept = _Kept(images, labels, fisher)
        return self._kept

    def _fisher(self, target: Any, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Return ``F`` over the number of a sample's values, by name."""
        one = next(self._one_by_one(target, images, labels))
        values = float(target.counts(one)[0])
        # mean_t of means over values -> sum_t of sums, squared; then over the values once.
        factor = target.timesteps**2 * values
        found = sample_fisher(target, self._one_by_one(target, images, labels))
        return {name: factor * fisher for name, fisher in found.items()}

    def _one_by_one(self, target: Any, images: Tensor, labels: Tensor) -> Iterator[dict[str, Tensor]]:
        """Go through the samples that ``F`` is made of: a batch of each, one row a time step."""
        count = self.fisher_steps
        offsets = torch.arange(count, device=labels.device)
        steps = (offsets * 2 + 1) * target.timesteps // (2 * count)
        for row in range(len(labels)):
            if row % self.per_class >= self.fisher_samples:
                continue
            index = torch.full_like(offsets, row)
            label = labels[row].expand(count)
            yield {
                "inputs": images[row].expand(count, *images.shape[1:]),
                "targets": label,
                "conditions": label,
                "index": index,
                # One key for each (sample, step), none of which a round's rows have.
                "keys": derived(row_keys(self.seed, -2, index * count + offsets), FISHER),
                "steps": steps,
            }
