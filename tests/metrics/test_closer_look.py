from __future__ import annotations

import pytest

from unlearnkit.errors import MismatchError
from unlearnkit.metrics import EntailmentScore, ForgetEfficacy, ModelCapability, TextSimilarity, TokenEntropy
from unlearnkit.metrics.functional import (
    CAPABILITY_PARTS,
    EFFICACY_PARTS,
    forget_efficacy,
    model_capability,
    token_entropy,
    trigram_cosine,
)

PREDICTIONS = ["the author lives in Lagos", "in 1994", ""]
TARGETS = ["Lagos is where the author lives", "it was in 1994", "lost"]


def test_the_means_of_their_functions():
    entropy, similarity = TokenEntropy(), TextSimilarity()
    rows = [text.split() for text in PREDICTIONS]
    entropy.update(rows[:1])
    entropy.update(rows[1:])
    assert entropy.compute().item() == pytest.approx(sum(map(token_entropy, rows)) / 3)
    similarity.update(PREDICTIONS, TARGETS)
    assert similarity.compute().item() == pytest.approx(sum(map(trigram_cosine, PREDICTIONS, TARGETS)) / 3)


def test_any_encoder_and_judge():
    class Half:
        name = "half"

        def __call__(self, pairs):
            return [0.5] * len(pairs)

    similarity = TextSimilarity(encoder=Half())
    similarity.update(["a"], ["b"])
    assert similarity.compute().item() == 0.5
    score = EntailmentScore(judge=Half())
    score.update(["a", "b"], ["a", "a"])
    assert score.compute().item() == 0.5  # the second shares no word, so the judge is not asked


def test_unequal_lists_are_refused():
    for metric in (TextSimilarity(), EntailmentScore()):
        with pytest.raises(MismatchError, match="Found 2 for 1"):
            metric.update(["a", "b"], ["a"])


def test_aggregates_are_their_functions():
    capability, efficacy = ModelCapability(), ForgetEfficacy()
    for metric, names in ((capability, CAPABILITY_PARTS), (efficacy, EFFICACY_PARTS)):
        for place, name in enumerate(names):
            metric.update(name, [0.04 * (place + 1), 0.06 * (place + 1)])
    means = {name: 0.05 * (place + 1) for place, name in enumerate(CAPABILITY_PARTS)}
    assert capability.compute().item() == pytest.approx(model_capability(means).value)
    assert capability.result.n == 18
    means = {name: 0.05 * (place + 1) for place, name in enumerate(EFFICACY_PARTS)}
    assert efficacy.compute().item() == pytest.approx(forget_efficacy(means))
