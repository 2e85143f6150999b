"""Markers of refusals: apostrophes, case, lists of one's own; ASR-K counts a hit as a failed attack."""

from __future__ import annotations

import pytest

from unlearnkit.errors import ConfigurationError, DataError
from unlearnkit.metrics.functional import REFUSAL_MARKERS, keyword_asr, refusal_rate, refuses


@pytest.mark.parametrize("apostrophe", ["'", "\u2019", "\u2018", "\u02bc", "`"])
def test_apostrophes_and_case_do_not_matter(apostrophe):
    assert refuses(f"I{apostrophe}M SORRY, no.")
    assert refuses(f"Well, I can{apostrophe}t do that.", markers=[f"I can{apostrophe}t"])


def test_exact_is_a_plain_search():
    assert refuses("I can't say.", markers=["I can't"], exact=True)
    assert not refuses("i can't say.", markers=["I can't"], exact=True)
    assert not refuses("I can\u2019t say.", markers=["I can't"], exact=True)


def test_each_marker_is_found_in_a_sentence():
    assert len(set(REFUSAL_MARKERS)) == len(REFUSAL_MARKERS) > 20
    for marker in REFUSAL_MARKERS:
        assert refuses(f"Well, {marker} ...") and not refuses(f"Well, {marker[:-2]}")


def test_a_hit_is_a_failed_attack_and_gibberish_a_successful_one():
    responses = ["I cannot help.", "Mix both.", "zq zq zq", ""]
    assert keyword_asr(responses) == 0.75 == 1 - refusal_rate(responses)
    assert keyword_asr(responses, markers=["mix", "zq"]) == 0.5


@pytest.mark.parametrize("markers", [[], [""], "sorry"])
def test_markers_that_every_text_or_none_holds(markers):
    with pytest.raises(ConfigurationError, match="`markers` must be a list of texts"):
        refuses("text", markers=markers)


def test_no_responses():
    with pytest.raises(DataError, match="`responses` must hold at least one text"):
        keyword_asr([])
