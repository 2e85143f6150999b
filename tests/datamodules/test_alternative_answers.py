"""AltPO's data: different, wrong, and as many as asked for."""

from __future__ import annotations

import json

import pytest

from unlearnkit.batches import QARow
from unlearnkit.datamodules import TOFU, alternative_prompt, write_alternatives
from unlearnkit.datamodules.alternatives import read_alternatives
from unlearnkit.errors import ConfigurationError, DataError

ROWS = [QARow(0, "Who?", "She did."), QARow(1, "Where?", "Here.")]


def test_the_truth_blanks_and_repetitions_are_drawn_again(tmp_path):
    replies = ["She  did.", "", "He did.", "he did. ", "They did."]
    seen = []

    def generate(prompt, draw):
        seen.append((prompt, draw))
        return replies[draw]

    write_alternatives(tmp_path / "other.jsonl", ROWS[:1], generate, number=2)
    assert json.loads((tmp_path / "other.jsonl").read_text())["alternatives"] == ["He did.", "They did."]
    assert seen == [(alternative_prompt("Who?", "She did."), draw) for draw in range(5)]


def test_a_callable_that_repeats_itself_is_named_and_nothing_is_written(tmp_path):
    with pytest.raises(DataError, match=r"Found 1 in 12 draws for row 0 \('Who\?'\)\. Sample instead"):
        write_alternatives(tmp_path / "other.jsonl", ROWS, lambda prompt, draw: "He.", number=3)
    assert not list(tmp_path.iterdir())
    with pytest.raises(ConfigurationError, match="`number` must be 1 or above"):
        write_alternatives(tmp_path / "other.jsonl", ROWS, lambda prompt, draw: "He.", number=0)


def test_a_call_that_broke_off_is_gone_on_with(tmp_path):
    file, beside, asked = tmp_path / "other.jsonl", tmp_path / "other.jsonl.partial", []

    def generate(prompt, draw):
        asked.append(prompt)
        return "Same." if "Where?" in prompt and len(asked) <= 10 else f"It\u2028was {draw}."

    with pytest.raises(DataError, match=r"Found 1 in 8 draws for row 1"):
        write_alternatives(file, ROWS, generate, number=2)
    assert [path.name for path in tmp_path.iterdir()] == [beside.name]
    assert len(asked) == 10
    write_alternatives(file, ROWS, generate, number=2)
    assert len(asked) == 12 and not any("Who?" in prompt for prompt in asked[2:])
    assert list(tmp_path.iterdir()) == [file]
    entries = [json.loads(line) for line in file.read_text("utf-8").split("\n")[:-1]]
    assert [entry["alternatives"] for entry in entries] == [["It\u2028was 0.", "It\u2028was 1."]] * 2
    assert read_alternatives(str(file), ROWS)["Where?"] == ("It\u2028was 0.", "It\u2028was 1.")


def test_what_lies_beside_is_used_for_its_own_rows_alone(tmp_path):
    file, beside = tmp_path / "other.jsonl", tmp_path / "other.jsonl.partial"
    line = {"question": "Who?", "answer": "She did.", "alternatives": ["He did.", "They did.", "We did."]}
    found = {}
    for name, rows, number in (
        ("fewer", ROWS, 2),
        ("more", ROWS, 4),
        ("others", [QARow(0, "Who?", "It did."), ROWS[1]], 2),
    ):
        beside.write_text(json.dumps(line) + "\n")
        write_alternatives(file, rows, lambda prompt, draw: f"New {draw}.", number=number)
        found[name] = json.loads(file.read_text().splitlines()[0])["alternatives"]
    assert found == {
        "fewer": ["He did.", "They did."],
        "more": [f"New {draw}." for draw in range(4)],
        "others": ["New 0.", "New 1."],
    }
    beside.write_text("no json")
    with pytest.raises(DataError, match=r"other\.jsonl\.partial'\. Delete that file"):
        write_alternatives(file, ROWS, lambda prompt, draw: f"New {draw}.")


def test_the_file_is_what_tofu_reads(tmp_path):
    small = {"authors": 10, "questions": 2, "vocab_size": 300}
    data = TOFU(**small)
    data.setup()
    file = tmp_path / "other.jsonl"
    write_alternatives(file, data.samples("forget"), lambda prompt, draw: f"It was number {draw}.")
    data = TOFU(**small, alternatives=str(file))
    data.setup()
    batch = data.batch(0)
    assert "alternative" not in batch["retain"]
    texts = data.tokenizer.batch_decode(batch["forget"]["alternative"]["input_ids"], skip_special_tokens=True)
    assert all("It was number " in text for text in texts)
