"""Min-k%: does a model know the texts it was trained on? With members and non-members that are named.

The score of a text is minus the mean of its k % least likely tokens' log-probabilities (Shi et al. 2024). "MIA" alone
is ambiguous: forget texts against texts never seen should end near the retrained reference's area (1/2 where both sets
are alike), as in TOFU and MUSE; kept against forgotten texts should be told apart, as paper 004 reads its numbers
(higher is better). So both sets are arguments, and both directions are returned.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from unlearnkit.errors import ConfigurationError, DataError
from unlearnkit.metrics.functional.attacks import attack_auc, min_k_score

MIN_K = 0.2
"""Share of the tokens, the usual one; MUSE takes 0.4."""


class Membership(NamedTuple):
    """The attack's area in both directions, in [0, 1]; NaN where a score is not finite.

    Attributes:
        auc: Probability that a member looks better known than a non-member, ties counting half.
        reversed: 1 - that: that a non-member does.
    """

    auc: float
    reversed: float


def min_k_scores(log_probs: Sequence[Sequence[float]], share: float = MIN_K) -> list[float]:
    """Return the score of each text; low means known.

    Args:
        log_probs: Log-probability of each token of each text, nats.
        share: Which part of the tokens, the least likely ones.

    Raises:
        ConfigurationError: ``share`` is not in (0, 1].

    >>> min_k_scores([[-1.0, -4.0, -2.0, 0.0, 0.0]], share=0.4)
    [3.0]
    """
    if not 0.0 < share <= 1.0:
        raise ConfigurationError(
            f"`share` must be above 0 and at most 1. Found {share}. Use share=0.2 for 20 %."
        )
    return [min_k_score(values, share) for values in log_probs]


def min_k_membership(members: Sequence[float], nonmembers: Sequence[float]) -> Membership:
    """Return the area under the attack's curve, in both directions.

    Args:
        members: Scores of texts that the model was trained on; low means known.
        nonmembers: Scores of texts that it was not trained on, or is to have forgotten.

    Raises:
        DataError: A set is empty.

    >>> min_k_membership(members=[0.5, 1.0], nonmembers=[2.0, 1.0])
    Membership(auc=0.875, reversed=0.125)
    """
    for name, scores in (("members", members), ("nonmembers", nonmembers)):
        if not len(scores):
            raise DataError(
                f"`{name}` must hold the score of at least one text. Found none. Name the set that they are, e.g. "
                "members='forget.rejected' and nonmembers='test.rejected'."
            )
    auc = attack_auc(members, nonmembers)
    return Membership(auc, 1.0 - auc)
