"""Rows of preference pairs: three public forms and a plain one, what is missing or does not fit named."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.datamodules.preference_forms import HALU, PLAIN, SAFE, ULTRA, USER, turns, written
from unlearnkit.datamodules import load_preferences
from unlearnkit.datamodules.preferences_fields import PreferencePair, form_of, parser
from unlearnkit.errors import ConfigurationError, DataError


def test_each_form(tmp_path: Path) -> None:
    def first(name: str, row: object, **arguments) -> PreferencePair:
        return load_preferences(written(tmp_path / name, row), **arguments)[0]

    assert first("a.jsonl", SAFE) == PreferencePair(0, "P?", "one", "zero")
    assert first("a.jsonl", SAFE, prefer="better") == PreferencePair(0, "P?", "zero", "one")
    assert first("b.jsonl", ULTRA) == PreferencePair(0, "P?", "good", "bad", (8.0, 2.0))
    assert first("c.json", HALU) == PreferencePair(0, "K.\nP?", "good", "bad")
    assert first("d.jsonl", PLAIN) == PreferencePair(0, "P?", "good", "bad")
    talk = {"knowledge": "K.", "dialogue_history": "H", "right_response": "r", "hallucinated_response": "h"}
    assert first("e.json", talk, configuration="dialogue").prompt == "K.\nH"
    text = {"document": "D", "right_summary": "r", "hallucinated_summary": "h"}
    assert first("f.json", text, configuration="summarization").prompt == "Summarize this document: D"
    longer = {
        name: [USER, {"role": "assistant", "content": "Eh?"}, *turns(name, "Q?")]
        for name in ("chosen", "rejected")
    }
    assert first("g.jsonl", longer).prompt == "user: P?\nassistant: Eh?\nuser: Q?"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({**SAFE, "response_1": " "}, r"a field 'response_1' of type str, not empty. Found ' ' in row 1 of"),
        (
            {name: SAFE[name] for name in SAFE if name != "safer_response_id"},
            "a field 'safer_response_id' of type int",
        ),
        ({**SAFE, "safer_response_id": 2}, "'safer_response_id' that is 0 or 1. Found 2"),
        ({**SAFE, "prompt": None}, "a field 'prompt' of type str, not empty. Found None"),
    ],
)
def test_a_field_that_is_missing_or_wrong_is_named(tmp_path: Path, row: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_preferences(written(tmp_path / "train.jsonl", SAFE, row))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {**ULTRA, "rejected": turns("bad", "Other?")},
            "`path` must pair answers to the same prompt. Found two",
        ),
        (
            {**ULTRA, "chosen": [USER]},
            "must end 'chosen' with an answer of the assistant. Found turns by \\['user'\\]",
        ),
        ({**ULTRA, "chosen": []}, "must end 'chosen' with an answer of the assistant"),
        ({**ULTRA, "score_chosen": None}, "a field 'score_chosen' of type int or float"),
        ({**ULTRA, "chosen": ["text"]}, "as turns with role and content. Found 'text'"),
    ],
)
def test_conversations_that_do_not_fit(tmp_path: Path, row: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_preferences(written(tmp_path / "train_prefs.jsonl", row), form="ultrafeedback")


def test_columns_of_no_form() -> None:
    with pytest.raises(DataError, match=r"Found columns \['text'\]"):
        form_of({"text": "?"}, "here")
    with pytest.raises(ConfigurationError, match="`configuration` of HaluEval must be one with pairs"):
        parser("halueval", "general", "safer")
