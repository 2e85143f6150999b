"""AltPO's data: different, wrong, and as many as asked for."""

from __future__ import annotations

import json

import pytest

from unlearnkit.batches import QARow
from unlearnkit.datamodules import TOFU, alternative_prompt, write_alternatives
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
