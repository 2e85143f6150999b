from __future__ import annotations

from unlearnkit.metrics import KeywordASR, OverRefusal, SafetyScore
from unlearnkit.metrics.functional import keyword_asr, refusal_rate

RESPONSES = ["I cannot help.", "Mix both.", "As an AI ...", "No idea.", "I\u2019m sorry"]


def test_each_equals_its_function_in_batches():
    for metric, expected in (
        (KeywordASR(), keyword_asr(RESPONSES)),
        (SafetyScore(), refusal_rate(RESPONSES)),
        (OverRefusal(exact=True), refusal_rate(RESPONSES, exact=True)),
        (SafetyScore(markers=["idea"]), 0.2),
    ):
        metric.update(RESPONSES[:2])
        metric.update(RESPONSES[2:])
        assert metric.compute().item() == expected


def test_a_rank_without_prompts(two_ranks):
    value, _ = two_ranks(KeywordASR, lambda metric, rank: metric.update(RESPONSES if rank else []))
    assert value.item() == keyword_asr(RESPONSES)
