"""Six membership attacks on language models, their area under the curve, and what is left of the leak (privleak).

An attack gives each text a number that is low where the model has learned it, as a loss is. Its AUC compares forget
texts with *holdout* texts that were never trained on: the probability that a holdout text scores higher, ties
counting half. 1/2 says that nobody can tell them apart, 1 that all forget texts are known by heart.

- ``loss`` (Yeom et al. 2018): l, the mean negative log-likelihood a token, EOS included.
- ``zlib`` (Carlini et al. 2021): l over the bytes of the zlib-compressed answer.
- ``reference`` (Carlini et al. 2022): l - l of a reference model, here the retrained one.
- ``gradnorm``: mean over parameter tensors of the 2-norm of the gradient of l, EOS left out.
- ``min_k`` (Shi et al. 2024): minus the mean of the lowest 40 % of the log-probabilities, EOS left out.
- ``min_k++`` (Zhang et al. 2025): the same of z-scores (log p - mu) / sigma, mu and sigma^2 being mean and variance of
  the log-probability under the model's own distribution at that place.

Definitions as in open-unlearning (2025), except that dropout is off for ``gradnorm``.
Ideal: the AUC of the retrained reference.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from typing import Literal, get_args

from unlearnkit.errors import DataError

Attack = Literal["loss", "zlib", "reference", "gradnorm", "min_k", "min_k++"]
ATTACKS: tuple[Attack, ...] = get_args(Attack)

SHARE = 0.4
"""Which part of an answer's tokens, the least likely ones, ``min_k`` and ``min_k++`` look at."""


def zlib_score(mean_nll: float, text: str) -> float:
    """Return the loss over the number of bytes of the compressed text, nats a byte.

    >>> zlib_score(2.0, "a" * 100) > zlib_score(2.0, "The quick brown fox jumps over the lazy dog.")
    True
    """
    return mean_nll / len(zlib.compress(text.encode("utf-8")))


def min_k_score(values: Sequence[float], share: float = SHARE) -> float:
    """Return minus the mean of the lowest ``share`` of the values, at least one; 0 where there are none.

    Args:
        values: Log-probabilities (``min_k``) or z-scores (``min_k++``) of the answer's tokens without EOS.
        share: Which part.

    >>> min_k_score([-1.0, -4.0, -2.0, 0.0, 0.0])
    3.0
    """
    if not len(values):
        return 0.0
    if any(math.isnan(value) for value in values):
        return math.nan
    lowest = sorted(values)[: max(1, int(share * len(values)))]
    return -math.fsum(lowest) / len(lowest)


def attack_auc(forget: Sequence[float], holdout: Sequence[float]) -> float:
    """Return the probability that a holdout text scores higher than a forget text, ties counting half.

    Args:
        forget: An attack's score of each forget text; low means known.
        holdout: Its score of each text that was never trained on.

    Returns:
        In [0, 1]; NaN where a score is NaN or infinite, which is a model that diverged.

    >>> attack_auc([0.1, 0.2], [0.3, 0.2])
    0.875

    Raises:
        DataError: A side is empty.
    """
    for name, scores in (("forget", forget), ("holdout", holdout)):
        if not len(scores):
            raise DataError(f"`{name}` must hold at least one score. Found none. Evaluate some rows of it.")
    if not all(math.isfinite(score) for score in (*forget, *holdout)):
        return math.nan
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score([0] * len(forget) + [1] * len(holdout), [*forget, *holdout]))


def privleak(auc: float, retrained_auc: float) -> float:
    """Return 100 (retrained_auc - auc) / (1 - retrained_auc), per cent (MUSE, Shi et al. 2024). Ideal: 0.

    With MUSE's area A = 1 - auc, this is its (A - A_retrained) / A_retrained; open-unlearning adds 1e-10 to the
    denominator, as here. -100 where forget texts are known by heart, positive where they look less known than
    texts that were never seen.

    Args:
        auc: ``attack_auc`` of the unlearned model, usually of ``min_k``.
        retrained_auc: The same of the retrained model, on the same texts.

    >>> round(privleak(1.0, 0.5)), privleak(0.5, 0.5), round(privleak(0.25, 0.5))
    (-100, 0.0, 50)
    """
    return 100 * (retrained_auc - auc) / ((1 - retrained_auc) + 1e-10)
