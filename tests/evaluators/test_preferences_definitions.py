"""Every number has a line and a direction; what is not computed is said."""

from __future__ import annotations

import pytest

from unlearnkit.evaluators.preferences_definitions import DEFINITIONS, higher_is_better


@pytest.mark.parametrize(
    ("name", "better"),
    [
        ("reward", True), ("safety", True), ("over_refusal", False), ("asr_summary", False), ("ppl_reference", False),
        ("hallucination_proxy", False), ("win_rate_length_controlled", True), ("forget_log_prob", "near reference"),
        ("kl_from_start", False), ("judge_skipped", False),
    ],
)  # fmt: skip
def test_directions(name: str, better: object) -> None:
    assert higher_is_better(name) == better and name in DEFINITIONS


def test_what_is_ambiguous_or_left_out_is_said() -> None:
    assert "not computed" in DEFINITIONS["safety"]
    assert "comparability.mia.nonmembers" in DEFINITIONS["mia_min_k"]
    assert not {"ppl", "mia", "overall"} & DEFINITIONS.keys()
