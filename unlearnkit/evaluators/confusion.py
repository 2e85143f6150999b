"""Which class images are taken for: the whole table, and the part of it that a report shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

WHOLE = 20
"""Classes up to which a report shows the whole table."""

MOST = 10
"""Classes that are forgotten, and answers of each, that are kept of a larger table."""


def confusion(log_probabilities: Tensor, labels: Tensor) -> list[list[int]]:
    """Return counts, row by label, column by predicted class; images without an answer (NaN) are not counted.

    Args:
        log_probabilities: [n, classes].
        labels: [n]; of training images those that were trained on, noise included.

    >>> confusion(torch.tensor([[0.7, 0.3], [0.2, 0.8], [float("nan")] * 2]).log(), torch.tensor([0, 0, 1]))
    [[1, 1], [0, 0]]
    """
    classes = log_probabilities.shape[1]
    answered = ~log_probabilities.isnan().any(-1)
    cells = labels[answered] * classes + log_probabilities[answered].argmax(-1)
    counts: list[list[int]] = torch.bincount(cells, minlength=classes**2).view(classes, classes).tolist()
    return counts


def shown(
    tables: dict[str, list[list[int]]], classes: Sequence[str], forgotten: Sequence[int]
) -> dict[str, Any]:
    """Return the part that a report shows: of test images where whole classes are forgotten, of forget images else.

    Up to 20 classes that is the whole table; of more only the forgotten classes, with the most frequent answers.

    Args:
        tables: What ``confusion`` returned, by set.
        classes: Names.
        forgotten: Numbers of the classes of which no image is retained.

    Returns:
        ``set``, ``classes`` (all names where the table is whole, else none), ``forgotten`` (names), and ``counts``:
        label -> predicted class -> images, without zeros.

    >>> shown({"test": [[5, 1], [2, 0]]}, ["cat", "dog"], [1])["counts"]
    {'cat': {'cat': 5, 'dog': 1}, 'dog': {'cat': 2}}
    """
    name = "test" if forgotten else "forget"
    whole = len(classes) <= WHOLE
    rows = range(len(classes)) if whole else list(forgotten)[:MOST]
    counts = {}
    for row in rows:
        answers = sorted(enumerate(tables[name][row]), key=lambda cell: -cell[1])[: None if whole else MOST]
        counts[classes[row]] = {classes[column]: images for column, images in answers if images}
    return {
        "set": name,
        "classes": list(classes) if whole else [],
        "forgotten": [classes[row] for row in list(forgotten)[: None if whole else MOST]],
        "counts": counts,
    }
