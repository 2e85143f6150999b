"""Who is asked about what: attacks on harmful prompts, hallucinations on the others, preferences on all."""

from __future__ import annotations

import pytest

from tests.evaluators.preferences_stand_ins import Data, Row
from unlearnkit.evaluators.preferences_texts import overlap_reward, text_columns
from unlearnkit.metrics.functional import ASPECTS_JUDGED, trigram_cosine


def test_cases_of_each_aspect() -> None:
    rows, asked = Data().evaluation_sets["test"], []

    def judge(case):
        asked.append((case.aspect, case.prompt, case.response, case.other))
        return 1.0

    texts = [f"text {row.index}" for row in rows]
    found, errors = text_columns(
        rows,
        texts,
        [row.kind == "harmful" for row in rows],
        reward=lambda prompts, responses: [1.0] * len(prompts),
        judge=judge,
        aspects=ASPECTS_JUDGED,
        retries=0,
        encoder=lambda pairs: [float(len(pair[1])) for pair in pairs],
        markers=["text 3"],
        exact=False,
    )
    expected = [
        (aspect, row.prompt, text, None)
        for aspect in ASPECTS_JUDGED[:3]
        for row, text in list(zip(rows, texts, strict=True))[::2]
    ]
    expected += [
        ("hallucination", row.prompt, text, row.chosen)
        for row, text in list(zip(rows, texts, strict=True))[1::2]
    ]
    for row, text in zip(rows, texts, strict=True):
        other = row.reference or row.chosen
        expected += [("preference", row.prompt, text, other), ("preference", row.prompt, other, text)]
    assert asked == expected and not errors
    assert found["refused"] == [False, False, False, True, False, False]
    assert found["coherence"] == [6.0] * 6 and found["useful"][:2] == [1.0, None]


def test_no_rows_are_no_error() -> None:
    found, errors = text_columns(
        [], [], [], reward=len, judge=len, aspects=ASPECTS_JUDGED, retries=0, encoder=len, markers=["no"], exact=False
    )  # fmt: skip
    assert not errors and all(values == [] for values in found.values())


def test_wording_is_rewarded_by_the_mean_over_the_rows_of_a_prompt() -> None:
    rows = [Row(0, "?", "a stone", "a tree"), Row(1, "?", "the stone", "the sea"), Row(2, "!", "yes", "no")]
    reward = overlap_reward(rows)
    gaps = [trigram_cosine("stone", row.chosen) - trigram_cosine("stone", row.rejected) for row in rows[:2]]
    assert reward(["?", "!"], ["stone", "yes"]) == pytest.approx([sum(gaps) / 2, 1.0])
