"""Which images are to be forgotten: a random fraction, classes, some of a class, or given rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from unlearnkit.errors import ConfigurationError, DataError, UnknownNameError

Rest = Literal["all", "other_classes"]


@dataclass(frozen=True)
class ForgetSet:
    """What a data module of images is to forget; exactly one of the first three is given.

    Args:
        fraction: Fraction of the training set, drawn at random over all classes.
        classes: Names or numbers of classes; what is both is a name.
        rows: Row numbers of the training set.
        count: Of each class named, as many images, drawn at random; None takes them all.
        retain: What is kept: ``all`` other images, or those of ``other_classes`` only (paper 001's appendix C forgets
            500 dogs and retains the other classes). Images on neither side are left out of the target's training,
            too; the paper does not say whether it trained on its other dogs.
        seed: Of what is drawn. It is not the run's seed: five seeds of unlearning share one forget set.

    Raises:
        ConfigurationError: None or several of the three are given, or a number is out of its range.
        UnknownNameError: ``retain`` is neither of the two.

    >>> forget, retain = ForgetSet(classes=["b"], count=1).choose(torch.tensor([0, 1, 1, 0]), ("a", "b"))
    >>> len(forget), len(retain)
    (1, 3)
    """

    fraction: float | None = None
    classes: Sequence[str | int] | None = None
    rows: Sequence[int] | None = None
    count: int | None = None
    retain: Rest = "all"
    seed: int = 0

    def __post_init__(self) -> None:
        given = [name for name in ("fraction", "classes", "rows") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ConfigurationError(
                "`forget` must have exactly one of fraction, classes, rows. "
                f"Found {', '.join(given) or 'none of them'}. Use e.g. fraction=0.1 or classes=[dog]."
            )
        if self.fraction is not None and not 0 < self.fraction < 1:
            raise ConfigurationError(
                f"`forget.fraction` must lie between 0 and 1. Found {self.fraction}. Use e.g. 0.1."
            )
        if self.count is not None and (self.classes is None or self.count < 1):
            raise ConfigurationError(
                "`forget.count` must be at least 1 and stand beside classes, of each of which it is a number. Found "
                f"{self.count}{'' if self.classes else ' without classes'}. Use e.g. classes=[dog] count=500."
            )
        if self.retain not in ("all", "other_classes"):
            raise UnknownNameError.among("forget.retain", self.retain, ["all", "other_classes"])
        if self.retain == "other_classes" and self.classes is None:
            raise ConfigurationError(
                "`forget.retain` may be other_classes only beside classes. Found it without. Use retain=all."
            )

    @property
    def name(self) -> str:
        """What people call it, e.g. ``10 % at random``, ``dog``, ``500 of dog``."""
        if self.fraction is not None:
            return f"{100 * self.fraction:g} % at random"
        if self.rows is not None:
            return f"{len(self.rows)} given rows"
        classes = ", ".join(map(str, self.classes or ()))
        return classes if self.count is None else f"{self.count} of {classes}"

    def choose(self, labels: Tensor, classes: Sequence[str]) -> tuple[list[int], list[int]]:
        """Return the rows to forget and the rows to keep, in order.

        Args:
            labels: Class of each training image, [n].
            classes: Names of the classes.

        Raises:
            UnknownNameError: There is no such class.
            DataError: A side would be empty, a class has fewer images, or a row is not there.
        """
        generator = torch.Generator().manual_seed(self.seed)
        forgotten = torch.zeros(len(labels), dtype=torch.bool)
        numbers = self._numbers(classes)
        if self.fraction is not None:
            drawn = torch.randperm(len(labels), generator=generator)
            forgotten[drawn[: round(self.fraction * len(labels))]] = True
        elif self.rows is not None:
            forgotten[self._rows(len(labels))] = True
        for number in numbers:
            own = (labels == number).nonzero()[:, 0]
            if len(own) < (self.count or 1):
                raise DataError(
                    f"`forget.count` must be at most what a class has. Found {self.count or 1} of class "
                    f"{classes[number]!r}, which has {len(own)} training images. Lower it."
                )
            drawn = own[torch.randperm(len(own), generator=generator)]
            forgotten[drawn[: self.count]] = True
        kept = ~forgotten
        if self.retain == "other_classes":
            kept &= ~torch.isin(labels, torch.tensor(numbers))
        for side, chosen in (("forget", forgotten), ("retain", kept)):
            if not chosen.any():
                raise DataError(
                    f"`forget` must leave images on both sides. Found no {side} image among {len(labels)}. "
                    f"Choose {'more' if side == 'forget' else 'fewer'}."
                )
        return forgotten.nonzero()[:, 0].tolist(), kept.nonzero()[:, 0].tolist()

    def _numbers(self, classes: Sequence[str]) -> list[int]:
        """Return the numbers of the classes that are named."""
        found = []
        for given in self.classes or ():
            if str(given) in classes:
                found.append(list(classes).index(str(given)))
            elif isinstance(given, int) and 0 <= given < len(classes):
                found.append(given)
            else:
                raise UnknownNameError.among("forget.classes", str(given), classes)
        return list(dict.fromkeys(found))  # a class named twice is not drawn from twice

    def _rows(self, n: int) -> list[int]:
        rows = [int(row) for row in self.rows or ()]
        outside = [row for row in rows if not 0 <= row < n]
        if outside or len(rows) >= n or len(set(rows)) < len(rows):
            found = (
                f"row {outside[0]}" if outside else f"{len(rows)} rows, {len(set(rows))} of them different"
            )
            raise DataError(
                f"`forget.rows` must be row numbers from 0 to {n - 1}, each once, and fewer than all. Found {found}. "
                "Count them in the training part."
            )
        return rows
