from __future__ import annotations

import pytest

from unlearnkit.errors import MismatchError, NonFiniteError
from unlearnkit.metrics import (
    Coherence,
    HallucinationProxy,
    PreferenceAccuracy,
    PreferenceMargin,
    RewardValue,
)
from unlearnkit.metrics.functional import (
    hallucination_proxy,
    preference_accuracy,
    preference_margins,
    trigram_cosine,
)

CHOSEN, REJECTED = [-1.0, -2.0, -3.0], [-2.0, -1.0, -3.0]


def test_the_means_of_their_functions_in_batches():
    accuracy, proxy, margin = PreferenceAccuracy(), HallucinationProxy(), PreferenceMargin(beta=0.3)
    for rows in (slice(0, 1), slice(1, 3)):
        accuracy.update(CHOSEN[rows], REJECTED[rows])
        proxy.update(CHOSEN[rows], REJECTED[rows])
        margin.update(CHOSEN[rows], REJECTED[rows], REJECTED[rows], CHOSEN[rows])
    assert accuracy.compute().item() == preference_accuracy(CHOSEN, REJECTED)
    assert proxy.compute().item() == hallucination_proxy(CHOSEN, REJECTED)
    expected = preference_margins(CHOSEN, REJECTED, REJECTED, CHOSEN, 0.3).mean().item()
    assert margin.compute().item() == pytest.approx(expected)


def test_reward_is_any_callable_and_checked():
    metric = RewardValue(lambda prompts, responses: [[1.0] * len(text) for text in responses])
    metric.update(["p", "q"], ["abc", ""])
    assert metric.compute().item() == 1.5
    with pytest.raises(NonFiniteError):
        RewardValue(lambda prompts, responses: [float("nan")]).update(["p"], ["a"])
    with pytest.raises(MismatchError, match="one value for each of the 1 responses"):
        RewardValue(lambda prompts, responses: []).update(["p"], ["a"])


def test_coherence_is_the_encoder_s_similarity():
    class Half:
        name = "half"

        def __call__(self, pairs):
            return [0.5] * len(pairs)

    texts = [("Where was he born?", "He was born here."), ("Why?", "Because.")]
    default, given = Coherence(), Coherence(encoder=Half())
    for metric in (default, given):
        metric.update([prompt for prompt, _ in texts], [text for _, text in texts])
    assert default.compute().item() == pytest.approx(sum(trigram_cosine(*pair) for pair in texts) / 2)
    assert given.compute().item() == 0.5
    with pytest.raises(MismatchError):
        default.update(["p"], [])
