"""Denoising losses of the forget, retain and test images, shared among processes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch

from unlearnkit.artifacts import content_hash
from unlearnkit.errors import DataError
from unlearnkit.evaluators.ranks import gather, share
from unlearnkit.host import eval_mode

SETS = ("forget", "retain", "test")


@dataclass(frozen=True)
class Losses:
    """What was measured.

    Attributes:
        means: ``<set>_loss``, a value.
        n: Images of each set.
        hashes: Of each set's rows.
        failure: Of how many images the loss is no number; None of none.
    """

    means: dict[str, float | None]
    n: dict[str, int]
    hashes: dict[str, str]
    failure: str | None


@torch.no_grad()
def denoising_losses(
    model: Any, datamodule: Any, rows: int | None, batch_size: int, place: tuple[int, int]
) -> Losses:
    """Return the mean loss of some images of each set, with the noise that their keys give; the same on every rank.

    Args:
        model: Has ``losses`` and ``counts``; it may be in any mode and is left in it.
        datamodule: A ``DiffusionImages`` after ``setup``.
        rows: Images of each set, evenly spread; None takes all. Of the test images those of classes that are kept.
        batch_size: Images at a time.
        place: Rank and number of processes that share the images.

    Raises:
        DataError: A set has no images.
    """
    device = next(model.parameters()).device
    means: dict[str, float | None] = {}
    n: dict[str, int] = {}
    hashes: dict[str, str] = {}
    lost: dict[str, int] = {}
    for name in SETS:
        samples = _spread(_samples(datamodule, name), rows)
        if not samples:
            raise DataError(f"`{name}` must hold at least one image. Found none. Evaluate a set with images.")
        own = share(samples, *place)
        found: list[tuple[float, float]] = []
        with eval_mode(model):
            for low in range(0, len(own), batch_size):
                batch = datamodule.collate(own[low : low + batch_size])
                moved = {key: value.to(device) for key, value in batch.items()}
                moved["conditions"] = moved["targets"]  # of no sample is the class dropped
                pair = (model.losses(moved).double().tolist(), model.counts(moved).double().tolist())
                found += zip(*pair, strict=True)
        whole = gather(found, place[1])
        mean = math.fsum(loss for loss, _ in whole) / math.fsum(count for _, count in whole)
        means[f"{name}_loss"] = mean if math.isfinite(mean) else None
        n[name], hashes[name] = len(samples), content_hash(samples)
        lost[name] = sum(not math.isfinite(loss) for loss, _ in whole)
    parts = [f"{lost[name]} of {n[name]} {name} images" for name in SETS if lost[name]]
    failure = f"the denoising loss is not a number for {', '.join(parts)}: it diverged" if parts else None
    return Losses(means, n, hashes, failure)


def _samples(datamodule: Any, name: str) -> list[int]:
    samples = list(datamodule.evaluation_samples(name))
    if name != "test":
        return samples
    labels = datamodule.real_images("test")[1].tolist()
    kept = set(datamodule.retained_classes)
    return [row for row, label in zip(samples, labels, strict=True) if label in kept]


def _spread(samples: list[int], rows: int | None) -> list[int]:
    """Return some samples, evenly spread.

    >>> _spread(list(range(10)), 4)
    [0, 2, 5, 7]
    """
    if rows is None or rows >= len(samples):
        return samples
    return [samples[place * len(samples) // rows] for place in range(rows)]
