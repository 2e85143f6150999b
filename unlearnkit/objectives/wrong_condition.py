"""WrongCondition: asked for one class, denoise as for another."""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from torch import Tensor

from unlearnkit.errors import ConfigurationError, UnknownNameError
from unlearnkit.keyed_draws import uniform
from unlearnkit.objectives.base import Objective, PerSample, Reference, UnlearnableModel
from unlearnkit.objectives.denoising import WRONG, conditioned, require_classes, require_keys

Target = Literal["next", "random", "null"]
"""Which class takes the place of the true one: a fixed later one, a drawn one, or none."""

Against = Literal["prediction", "noise"]
"""What the answer shall be: the model's own prediction under the wrong class, or the noise with the wrong label."""


class WrongCondition(Objective):
    """Minimise ``|eps(x_t | c) - stop(eps(x_t | c'))|^2``: SalUn's forget side for diffusion (Fan et al. 2024).

    ``c'`` is a wrong class, and both predictions have the same noise, time step and weights. No class is dropped.
    ``against="noise"`` is what DualOptim's code does on DiT: forget images are learned under the wrong label,
    ``|eps(x_t | c') - eps|^2``, which leaves the true class to be forgotten for want of rehearsal.

    A class that is to be forgotten itself never takes the place of another where the run's data module tells which
    those are.

    Args:
        target: ``next`` takes ``(c + shift) % classes``; ``random`` draws another class for each sample and round;
            ``null`` takes no class, the one that guidance starts from.
        against: ``prediction`` or ``noise``.
        shift: Of ``next``, 1 or above: 1 in SalUn's code on CIFAR-10, 100 on ImageNet.

    Raises:
        UnknownNameError: ``target`` or ``against`` is none of the above.
        ConfigurationError: ``shift`` is below 1, leads to the class itself or to another one to forget, or model and
            batch are not those of a diffusion model.

    >>> objective = WrongCondition(target="next", shift=2)
    >>> objective.wrong(torch.tensor([0, 9]), torch.tensor([5, 6]), classes=10).tolist()
    [2, 1]
    """

    role = "forget"

    def __init__(self, target: Target = "next", against: Against = "prediction", shift: int = 1) -> None:
        super().__init__()
        if target not in get_args(Target):
            raise UnknownNameError.among("target", str(target), get_args(Target))
        if against not in get_args(Against):
            raise UnknownNameError.among("against", str(against), get_args(Against))
        if shift < 1:
            raise ConfigurationError(f"`shift` must be 1 or above. Found {shift}. Use e.g. shift=1.")
        self.target: Target = target
        self.against: Against = against
        self.shift = shift
        self._kept: list[int] | None = None

    def bind(self, datamodule: Any) -> None:
        """Take from the data module which classes are kept.

        Raises:
            ConfigurationError: ``shift`` leads from a class to forget to another one.
        """
        found = getattr(datamodule, "retained_classes", None)
        self._kept = sorted(found) if found else None
        if self._kept is None or self.target != "next":
            return
        classes: int = datamodule.traits.classes
        lost = [label for label in range(classes) if label not in self._kept]
        wrong = [label for label in lost if (label + self.shift) % classes in lost]
        if wrong:
            raise ConfigurationError(
                f"`shift` must lead from each class to forget to one that is kept. Found {self.shift}, from class "
                f"{wrong[0]} to {(wrong[0] + self.shift) % classes} of those to forget, {lost}. Use another shift, or "
                "target='random'."
            )

    def wrong(self, targets: Tensor, keys: Tensor, classes: int) -> Tensor:
        """Return the class in the place of each sample's own, [batch].

        Args:
            targets: True classes, [batch].
            keys: Keys of the samples' draws, [batch].
            classes: Number of classes.

        Raises:
            ConfigurationError: ``shift`` is a multiple of the number of classes.
        """
        if self.target == "null":
            return torch.full_like(targets, classes)
        if self.target == "next":
            if self.shift % classes == 0:
                raise ConfigurationError(
                    f"`shift` must not be a multiple of the number of classes, {classes}: it leads to the class "
                    f"itself. Found {self.shift}. Use shift=1."
                )
            return (targets + self.shift) % classes
        kept = torch.tensor(self._kept or list(range(classes)), device=targets.device)
        place = torch.searchsorted(kept, targets).clamp_max(len(kept) - 1)
        own = kept[place] == targets
        drawn = (uniform(keys, WRONG) * (len(kept) - own.long())).long().clamp_max(len(kept) - 1)
        return kept[(drawn + (own & (drawn >= place))).clamp_max(len(kept) - 1)]

    def forward(self, model: UnlearnableModel, batch: Any, reference: Reference | None = None) -> PerSample:
        """Return each sample's squared error, summed over its values [batch], and their number [batch]."""
        network: Any = model
        wrong = self.wrong(batch["targets"], require_keys(batch, self), require_classes(model, self))
        other = conditioned(batch, wrong)
        if self.against == "noise":
            return PerSample(model.losses(other), model.counts(other))
        found = network(conditioned(batch, batch["targets"]))
        with torch.no_grad():
            wanted = network(other)
        apart = (found - wanted).to(torch.promote_types(found.dtype, torch.float32))
        return PerSample(apart.square().flatten(1).sum(1), model.counts(batch))
