"""Rows of pairs: numbering, what is left out, the same data anywhere the same split."""

from __future__ import annotations

from dataclasses import replace

import pytest

from unlearnkit.datamodules.preferences_fields import PreferencePair
from unlearnkit.datamodules.preferences_rows import PreferenceRow, put_together, usable_pairs
from unlearnkit.datamodules.preferences_split import partition
from unlearnkit.errors import DataError

PAIRS = [PreferencePair(3 * n, f"prompt {n}", f"good {n}", f"bad {n}", (2.0, 1.0)) for n in range(30)]


def test_rows_say_which_answer_of_which_pair_they_are() -> None:
    drawn = partition([pair.prompt for pair in PAIRS])
    data = put_together(PAIRS, drawn, evaluation_rows=2)
    assert [row.index for row in data.rows] == list(range(60))
    for number, pair in enumerate(PAIRS):
        chosen, rejected = data.rows[2 * number : 2 * number + 2]
        assert isinstance(chosen, PreferenceRow)
        assert (chosen.prompt, chosen.answer, rejected.answer) == (pair.prompt, pair.chosen, pair.rejected)
        assert (rejected.chosen, rejected.rejected, rejected.scores) == (
            pair.chosen,
            pair.rejected,
            (2.0, 1.0),
        )
    assert data.split.forget == tuple(2 * number + 1 for number in drawn.forget)
    kept = {data.rows[number].answer.split()[0] for number in data.split.retain}
    assert kept == {"good", "bad"}
    answers = {name: {row.answer.split()[0] for row in rows} for name, rows in data.evaluation_sets.items()}
    assert answers == {"forget": {"bad"}, "retain": {"good"}, "test": {"good"}}
    assert {len(rows) for rows in data.evaluation_sets.values()} == {2}


def test_the_split_knows_the_texts_not_the_row_numbers() -> None:
    drawn = partition([pair.prompt for pair in PAIRS])
    moved = [replace(pair, id=pair.id + 1) for pair in PAIRS]
    other = [replace(pair, rejected=pair.rejected + "!") for pair in PAIRS]
    hashes = [put_together(pairs, drawn).split.hash for pairs in (PAIRS, moved, other)]
    assert hashes[0] == hashes[1] != hashes[2]


def test_what_is_left_out_is_counted() -> None:
    same = replace(PAIRS[0], rejected=f" {PAIRS[0].chosen}\n")
    long = replace(PAIRS[1], rejected="x" * 100)
    kept, left_out = usable_pairs([*PAIRS[2:4], same, long], max_characters=50)
    assert kept == PAIRS[2:4]
    assert left_out == {"same answer twice": 1, "too long": 1}
    with pytest.raises(
        DataError, match="must give pairs of different answers.*Found none of 1: 1 with the same"
    ):
        usable_pairs([same])
