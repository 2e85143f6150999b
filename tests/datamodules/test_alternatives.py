"""Second answers: which one a row gets, whether they fit, and the files they come from."""

from __future__ import annotations

import difflib
import json
import re

import pytest

from unlearnkit.batches import IGNORE, QARow
from unlearnkit.datamodules.alternatives import REFUSALS, Alternatives, read_alternatives, refusals
from unlearnkit.datamodules.tokenization import Encoder
from unlearnkit.datamodules.tokenizer_files import train_bpe
from unlearnkit.errors import DataError, DataNotFoundError, UnknownNameError

ROWS = [QARow(i, f"Who wrote book {i}?", f"Author {i} did.") for i in range(50)]
TEXTS = tuple(f"Reason {i}." for i in range(10))


def encoder(limit: int = 128) -> Encoder:
    return Encoder(train_bpe([row.question + row.answer for row in ROWS], 300), limit)


# ------------------------------------------------------------------------------------------ choice


def test_a_choice_is_a_function_of_seed_row_and_round():
    choices = {
        seed: [[Alternatives(lambda row: TEXTS, seed).pick(row, k)[0] for row in ROWS] for k in range(20)]
        for seed in (0, 1)
    }
    again = [Alternatives(lambda row: TEXTS, 0).pick(row, 7)[0] for row in reversed(ROWS)]
    assert again[::-1] == choices[0][7]
    flat = {seed: [choice for rounds in found for choice in rounds] for seed, found in choices.items()}
    for found in flat.values():
        counts = [found.count(k) for k in range(10)]
        assert sum((n - 100) ** 2 / 100 for n in counts) < 27.9, (
            "chi-squared with 9 degrees of freedom, 0.1 %"
        )
    same = sum(a == b for a, b in zip(flat[0], flat[1], strict=True))
    assert 60 < same < 140  # a tenth of 1000


def test_a_choice_per_row_is_the_same_in_every_round():
    second = Alternatives(lambda row: TEXTS, seed=0, per="row")
    choices = [[second.pick(row, k)[0] for row in ROWS] for k in range(5)]
    assert choices == [choices[0]] * 5
    assert set(choices[0]) == set(range(10))
    assert choices[0] != [Alternatives(lambda row: TEXTS, seed=1, per="row").pick(row, 0)[0] for row in ROWS]
    with pytest.raises(UnknownNameError, match="`per` must be one of"):
        Alternatives(lambda row: TEXTS, per="epoch")


def test_a_rows_own_answer_is_never_its_second_one():
    second = Alternatives(lambda row: ("Author 3 did.", "Nobody."), seed=0)
    assert {second.pick(ROWS[3], k) for k in range(20)} == {(1, "Nobody.")}
    with pytest.raises(DataError, match=r"must give row 3 .* an answer besides its own\. Found none"):
        Alternatives(lambda row: (row.answer,)).pick(ROWS[3], 0)


def test_a_batch_has_the_questions_of_the_rows_and_the_answers_of_the_round():
    found, rows = encoder(), ROWS[4:8]
    second = Alternatives(lambda row: TEXTS, seed=2)
    batch = second.collate(rows, 9, found, 0)
    assert batch["index"].tolist() == [4, 5, 6, 7]
    assert batch["choice"].tolist() == [second.pick(row, 9)[0] for row in rows]
    for row, ids, labels in zip(rows, batch["input_ids"], batch["labels"], strict=True):
        prompt, _ = found(row.question)
        answer = labels[labels != IGNORE].tolist()
        assert ids[: len(prompt)].tolist() == prompt
        assert found.tokenizer.decode(answer[:-1]).strip() == second.pick(row, 9)[1]
        assert answer[-1] == found.eos_id


def test_what_does_not_fit_is_refused_before_training():
    texts = ("No.", "I would tell you at length, if I knew the least thing about it, which I do not.")
    Alternatives(lambda row: texts).require_room(ROWS, encoder(200))
    with pytest.raises(DataError, match=r"`max_length` must hold prompt and answer.*row 0"):
        Alternatives(lambda row: texts).require_room(ROWS, encoder(60))
    with pytest.raises(DataError, match="`answer` must have at least one token"):
        Alternatives(lambda row: (" ",)).require_room(ROWS, encoder())


# ----------------------------------------------------------------------------------------- refusals


def test_the_packaged_list_holds_a_hundred_different_short_refusals():
    found = refusals()
    assert len(found) == len(set(found)) == 100
    assert all(len(line) < 60 and line.endswith(".") for line in found)
    assert REFUSALS.is_file()


def test_the_packaged_list_is_not_tofus(test_data):
    def words(lines):
        return {" ".join(re.findall(r"[a-z']+", line.lower().replace("’", "'"))) for line in lines}

    theirs = words((test_data / "TOFU" / "idontknow.txt").read_text("utf-8").splitlines()) - {""}
    ours = words(refusals())
    assert len(theirs) == len(ours) == 100
    alike = {
        (a, b)
        for a in ours
        for b in theirs
        if difflib.SequenceMatcher(None, a, b, autojunk=False).ratio() > 0.84
    }
    assert not alike


def test_a_list_of_ones_own_is_read_without_blank_lines(tmp_path):
    (tmp_path / "own.txt").write_text("No.\n\n  Never heard of it. \n")
    assert refusals(str(tmp_path / "own.txt")) == ("No.", "Never heard of it.")


def test_a_missing_empty_or_unreadable_list_is_refused(tmp_path):
    with pytest.raises(DataNotFoundError, match=r"`refusals` must be a text file.*nothing at .*none\.txt"):
        refusals(str(tmp_path / "none.txt"))
    (tmp_path / "empty.txt").write_text("\n \n")
    with pytest.raises(DataError, match="`refusals` must hold at least one refusal. Found none"):
        refusals(str(tmp_path / "empty.txt"))
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9\n")
    with pytest.raises(DataError, match="`refusals` must be a text file in UTF-8"):
        refusals(str(tmp_path / "latin.txt"))


# --------------------------------------------------------------------------------------------- file


def test_a_file_must_be_there_and_hold_every_question(tmp_path):
    file = tmp_path / "other.jsonl"
    with pytest.raises(DataNotFoundError, match="`alternatives` must be 'refusals', 'mismatch' or a file"):
        read_alternatives(str(file), ROWS)
    file.write_text(
        "".join(json.dumps({"question": r.question, "alternatives": ["A."]}) + "\n" for r in ROWS)
    )
    assert read_alternatives(str(file), ROWS)[ROWS[0].question] == ("A.",)
    extra = [*ROWS, QARow(99, "What else?", "That.")]
    with pytest.raises(DataError, match=r"Found none to 1 of 51 in .* e\.g\. 'What else\?'"):
        read_alternatives(str(file), extra)


def test_a_file_of_another_encoding_is_refused(tmp_path):
    file = tmp_path / "other.jsonl"
    file.write_bytes('{"question": "Who?", "alternatives": ["Café."]}\n'.encode("latin-1"))
    with pytest.raises(DataError, match=r"`alternatives` must be a text file in UTF-8.*Save it as UTF-8"):
        read_alternatives(str(file), [])


@pytest.mark.parametrize(
    "line",
    [
        "no json",
        '{"question": "Who?"}',
        '{"question": "Who?", "alternatives": []}',
        '{"question": "Who?", "alternatives": [""]}',
        "[1]",
    ],
)
def test_a_line_of_another_form_is_named(tmp_path, line):
    file = tmp_path / "other.jsonl"
    file.write_text('{"question": "How?", "alternatives": ["So."]}\n' + line)
    with pytest.raises(DataError, match=r"other\.jsonl', line 2\. Mend"):
        read_alternatives(str(file), [])
