"""Membership inference: two published attacks, whose numbers point in opposite directions, under names that say so.

Each trains a classifier to tell what the model says of retain images (members) from what it says of test images
(non-members), and asks it about the forget images. Neither "higher" nor "lower" is better: a model that never saw
the forget images has some rate, and unlearning should end near that.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from unlearnkit.errors import DataError


def entropy(probabilities: Tensor) -> Tensor:
    """Return the entropy of each row of class probabilities [n, classes], nats, [n] float64.

    >>> entropy(torch.tensor([[0.5, 0.5], [1.0, 0.0]])).tolist()
    [0.693..., 0.0]
    """
    found: Tensor = torch.special.entr(probabilities.double()).sum(-1)
    return found


def true_class_probability(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Return the probability of each row's own label, [n] float64; probabilities are [n, classes].

    >>> true_class_probability(torch.tensor([[0.25, 0.75]]), torch.tensor([1])).tolist()
    [0.75]
    """
    return probabilities.double().gather(-1, labels[:, None])[:, 0]


def entropy_member_rate(retain: Tensor, test: Tensor, forget: Tensor) -> float:
    """Return the fraction of forget images called *members* by logistic regression on the entropy (paper 002, SFRon).

    One feature, the entropy of the predicted distribution; classes weighted to balance. The retrained model's
    rate is high where it generalises well (76 % in paper 002): near it is good, not 0.

    Args:
        retain: Entropy of each retain image, [n].
        test: Of each test image.
        forget: Of each forget image.

    Returns:
        A fraction; NaN where a score is not finite, which is a model that diverged.

    Raises:
        DataError: A set is empty.

    >>> low, high = torch.linspace(0, 0.1, 20), torch.linspace(1, 2, 20)
    >>> entropy_member_rate(retain=low, test=high, forget=torch.tensor([0.0, 0.05, 1.5, 1.9]))
    0.5
    """
    from sklearn.linear_model import LogisticRegression

    if not _sound(retain=retain, test=test, forget=forget):
        return math.nan
    features, members = _pairs(retain, test)
    attack = LogisticRegression(class_weight="balanced").fit(features, members)
    return float(attack.predict(_column(forget)).mean())


def confidence_nonmember_rate(retain: Tensor, test: Tensor, forget: Tensor, rows: int | None = 2000) -> float:
    """Return the fraction of forget images called *non-members* by an SVC on the true class's probability (SalUn).

    As many retain images as there are test images, evenly spread (SalUn takes the first ones), are set against the
    test images; the machine is SVC(C=3, RBF kernel, gamma "auto").

    Args:
        retain: Probability of its own label of each retain image, [n].
        test: Of each test image.
        forget: Of each forget image.
        rows: Images of either kind that the machine is trained on at most: its time grows with their square. None
            takes as many as there are test images, as SalUn does.

    Returns:
        A fraction; NaN where a score is not finite, which is a model that diverged.

    Raises:
        DataError: A set is empty.

    >>> sure, unsure = torch.linspace(0.9, 1, 20), torch.linspace(0, 0.3, 20)
    >>> confidence_nonmember_rate(retain=sure, test=unsure, forget=torch.tensor([0.1, 0.95, 0.97, 1.0]))
    0.25
    """
    from sklearn.svm import SVC

    if not _sound(retain=retain, test=test, forget=forget):
        return math.nan
    most = min(len(retain), len(test), rows or len(test))
    features, members = _pairs(_spread(retain, most), _spread(test, most))
    attack = SVC(C=3, gamma="auto", kernel="rbf").fit(features, members)
    return float(1 - attack.predict(_column(forget)).mean())


def js_divergence(first: Tensor, second: Tensor) -> Tensor:
    """Return the Jensen-Shannon divergence of each pair of rows, [n] float64, nats (at most log 2).

    Args:
        first: Class probabilities, [n, classes].
        second: The same of another model on the same images.

    >>> js_divergence(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])).item()
    0.693...
    """
    p, q = first.double(), second.double()
    middle = (p + q) / 2
    kl: Tensor = torch.special.xlogy(p, p) - torch.special.xlogy(p, middle)
    kl = kl + torch.special.xlogy(q, q) - torch.special.xlogy(q, middle)
    return kl.sum(-1) / 2


def _sound(**sets: Tensor) -> bool:
    """Say whether all scores are finite.

    Raises:
        DataError: A set is empty.
    """
    for name, scores in sets.items():
        if not len(scores):
            raise DataError(f"`{name}` must hold at least one score. Found none. Evaluate a set with images.")
    return all(bool(scores.isfinite().all()) for scores in sets.values())


def _spread(scores: Tensor, most: int) -> Tensor:
    """Return some scores, evenly spread: data sets may be sorted by class."""
    return scores[torch.arange(most, device=scores.device) * len(scores) // most]


def _column(scores: Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return scores.detach().double().cpu().numpy().reshape(-1, 1)


def _pairs(
    members: Tensor, others: Tensor
) -> tuple[
    np.ndarray[tuple[int, ...], np.dtype[np.float64]], np.ndarray[tuple[int, ...], np.dtype[np.int64]]
]:
    labels = np.r_[np.ones(len(members), dtype=np.int64), np.zeros(len(others), dtype=np.int64)]
    return np.concatenate([_column(members), _column(others)]), labels
