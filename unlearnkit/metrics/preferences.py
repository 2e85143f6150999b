"""Reward, coherence, preference accuracy and margin, and the hallucination proxy as torchmetrics classes.

The formulas are in ``unlearnkit.metrics.functional.rewards`` and ``unlearnkit.metrics.functional.likelihoods``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from unlearnkit.metrics.base import RowMeanMetric
from unlearnkit.metrics.encoders import Similarity, TrigramSimilarity
from unlearnkit.metrics.functional.likelihoods import preference_margins, preference_wins
from unlearnkit.metrics.functional.memorisation import Values
from unlearnkit.metrics.functional.rewards import Reward, response_rewards
from unlearnkit.metrics.text import require_pairs


class RewardValue(RowMeanMetric):
    """Mean reward of responses (paper 004's Reward-V). Up.

    Args:
        reward: Any callable from prompts and responses to numbers, one each or one a token.

    >>> metric = RewardValue(lambda prompts, responses: [len(text) for text in responses])
    >>> metric.update(["a", "b"], ["x", "yes"])
    >>> metric.compute().item()
    2.0
    """

    higher_is_better: bool | None = True

    def __init__(self, reward: Reward, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.reward = reward

    def update(self, prompts: Sequence[str], responses: Sequence[str]) -> None:
        """Add prompts and responses.

        Raises:
            MismatchError: Unequal numbers of texts, or the reward returns another number of values.
            NonFiniteError: A reward is NaN or infinite.
        """
        found = response_rewards(self.reward, prompts, responses)
        self.add(torch.tensor(found, dtype=torch.float64))


class Coherence(RowMeanMetric):
    """Mean similarity of prompt and response by an encoder, max(0, cosine) (paper 004: of SimCSE embeddings). Up.

    Args:
        encoder: What compares two texts; None takes the cosine of character trigrams, whose numbers are others.

    >>> metric = Coherence()
    >>> metric.update(["Where was he born?", "Why?"], ["where was he born", "Rome"])
    >>> round(metric.compute().item(), 6), metric.encoder.name
    (0.5, 'character trigrams')
    """

    higher_is_better: bool | None = True

    def __init__(self, encoder: Similarity | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.encoder: Similarity = encoder or TrigramSimilarity()

    def update(self, prompts: Sequence[str], responses: Sequence[str]) -> None:
        """Add prompts and responses.

        Raises:
            MismatchError: Not as many prompts as responses.
        """
        require_pairs(prompts, responses)
        scores = self.encoder(list(zip(prompts, responses, strict=True)))
        self.add(torch.tensor(scores, dtype=torch.float64))


class PreferenceAccuracy(RowMeanMetric):
    """Share of rows whose chosen response is likelier than the rejected one; a tie is half. Up.

    Fed with DPO's implicit rewards, log p - log p* of both, it is the accuracy that DPO's trainers log.

    >>> metric = PreferenceAccuracy()
    >>> metric.update([-1.0, -2.0, -3.0], [-2.0, -2.0, -1.0])
    >>> metric.compute().item()
    0.5
    """

    higher_is_better: bool | None = True

    def update(self, chosen: Values, rejected: Values) -> None:
        """Add ``[rows]`` log-likelihoods of both responses, nats.

        Raises:
            MismatchError: Unequal numbers of rows.
        """
        self.add(preference_wins(chosen, rejected))


class HallucinationProxy(RowMeanMetric):
    """P(log p(hallucinated) > log p(right)), a tie being half: a hallucination rate without a judge. Down.

    >>> metric = HallucinationProxy()
    >>> metric.update(right=[-1.0, -2.0], hallucinated=[-2.0, -1.0])
    >>> metric.compute().item()
    0.5
    """

    higher_is_better: bool | None = False

    def update(self, right: Values, hallucinated: Values) -> None:
        """Add ``[rows]`` log-likelihoods of both responses, nats: sums, or means over tokens.

        Raises:
            MismatchError: Unequal numbers of rows.
        """
        self.add(1.0 - preference_wins(right, hallucinated))


class PreferenceMargin(RowMeanMetric):
    """Mean of DPO's margin ``beta [(log p/p* of chosen) - (log p/p* of rejected)]``. Up.

    It grows, too, where both responses become less likely; look at both log-likelihoods.

    Args:
        beta: DPO's.

    >>> metric = PreferenceMargin(beta=0.5)
    >>> metric.update([-1.0], [-5.0], [-2.0], [-2.0])
    >>> metric.compute().item()
    2.0
    """

    higher_is_better: bool | None = True

    def __init__(self, beta: float = 0.1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.beta = beta

    def update(self, chosen: Values, rejected: Values, chosen_start: Values, rejected_start: Values) -> None:
        """Add ``[rows]`` log-likelihoods of both responses under the model and the one it started from, nats.

        Raises:
            MismatchError: Unequal numbers of rows.
        """
        self.add(preference_margins(chosen, rejected, chosen_start, rejected_start, self.beta))
