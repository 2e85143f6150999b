"""What each model of a comparison draws: its sample grid, from the evaluations in the comparison's folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

from torch import Tensor

from unlearnkit.artifacts import read_json
from unlearnkit.evaluators.packed import unpack_images
from unlearnkit.plots import file_axes, sample_grid
from unlearnkit.plots.paths import Results, label_of, methods_of
from unlearnkit.plots.sample_grid import grid_height

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAME = 12
"""Letters in a line of a model's name beside its images."""


@dataclass(frozen=True)
class Samples:
    """Images of some classes of one model.

    Attributes:
        classes: Their names.
        forgotten: Those that were to be forgotten.
        images: [classes, k, channels, height, width], uint8.
    """

    classes: tuple[str, ...]
    forgotten: tuple[str, ...]
    images: Tensor


def sample_figures(results: Results, folder: str | os.PathLike[str]) -> dict[str, Axes]:
    """Draw for each method what the target, the method and the retrained reference draw, by the method's name.

    All are of the method's first seed, from the same noise.

    Args:
        results: A results dict as ``compare`` writes it.
        folder: The comparison's folder.

    Returns:
        Nothing where the evaluations hold no samples.
    """
    found = {}
    for name, rows in methods_of(results).items():
        models = {"target": "target", name: label_of(rows[0]), "retrained": "retrained"}
        read = {model: _samples(Path(folder), model, rows[0].get("seed")) for model in models}
        if read[name] is not None:
            found[name] = _drawn(
                {fill(models[model], NAME): own for model, own in read.items() if own is not None}
            )
    return found


def _drawn(blocks: Mapping[str, Samples]) -> Axes:
    first = next(iter(blocks.values()))
    height = grid_height(first.classes, [one.images.shape[1] for one in blocks.values()])
    images = {label: one.images for label, one in blocks.items()}
    return sample_grid(images, first.classes, first.forgotten, file_axes(height))


def _samples(folder: Path, model: str, seed: object) -> Samples | None:
    """Read what a model drew; of a target that seeds share, in the seed's folder that has it."""
    own = folder / f"seed{seed}" / model / "evaluation.json"
    files = [own, *sorted(folder.glob(f"seed*/{model}/evaluation.json"))]
    file = next((file for file in files if file.is_file()), None)
    kept = None if file is None else read_json(file).get("samples")
    if not kept or not kept.get("packed"):
        return None
    return Samples(tuple(kept["classes"]), tuple(kept["forgotten"]), unpack_images(kept["packed"]))
