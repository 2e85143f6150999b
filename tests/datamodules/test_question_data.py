"""QuestionData: what each kind of run sees of requests that come one after the other, and of rows on neither side."""

from __future__ import annotations

from typing import Any

import pytest

from unlearnkit.artifacts import Split
from unlearnkit.batches import QARow
from unlearnkit.datamodules import TOFU
from unlearnkit.datamodules.question_data import QuestionData, QuestionRows, require_positive
from unlearnkit.errors import ConfigurationError, DataError


class Rows(QuestionData):
    """Eight pairs: two forgotten now, one before, four kept, one on neither side."""

    def read(self) -> QuestionRows:
        rows = [QARow(i, f"What is number {i}?", f"It is the {i}th.") for i in range(8)]
        split = Split("eight", (1, 2), (3, 4, 5, 6), "eight rows", 7)
        sets = {"forget": rows[:3], "retain": rows[3:7]}
        return QuestionRows(rows, split, sets, knowledge=rows[7:], requested=((0,), (1, 2)))


def make(kind: type[QuestionData] = Rows, **arguments: Any) -> Any:
    data = kind(**{"vocab_size": 300, **arguments})
    data.setup()
    return data


def indices(rows: Any) -> list[int]:
    return [row.index for row in rows]


def test_each_kind_of_run_sees_its_rows() -> None:
    pair = make()
    assert (indices(pair.samples("forget")), indices(pair.samples("retain"))) == ([1, 2], [3, 4, 5, 6])
    assert indices(make(train_on="full").samples("train")) == [1, 2, 0, 3, 4, 5, 6, 7]
    assert indices(make(train_on="retain").samples("train")) == [3, 4, 5, 6, 7]
    assert indices(make(train_on="retain", knowledge=False).samples("train")) == [3, 4, 5, 6]
    assert pair.requested == ((0,), (1, 2))


def test_rows_are_read_once() -> None:
    data = make()
    data.read = None
    data.setup("test")
    assert data.split.hash == make().split.hash


def test_before_setup_nothing_is_known() -> None:
    with pytest.raises(ConfigurationError, match="Found Rows before it"):
        Rows().collate([])


def test_numbers_below_one_are_named() -> None:
    require_positive(questions=None, rows=1)
    with pytest.raises(ConfigurationError, match="`max_length` must be 1 or above. Found 0"):
        Rows(max_length=0)


# ---------------------------------------------------------------------------------------- TOFU

SMALL: dict[str, Any] = {"authors": 40, "questions": 2, "vocab_size": 400, "requests": [4, "1-2"]}


def tofu(request_: int, **arguments: Any) -> TOFU:
    found: TOFU = make(TOFU, **SMALL, request=request_, **arguments)
    return found


def test_tofus_requests_shrink_what_is_kept_and_add_to_what_is_evaluated() -> None:
    first, second = tofu(1), tofu(2)
    # Forty authors of two questions each: the forget set has the last four.
    assert first.split.forget == (78, 79)
    assert set(first.split.retain) == set(range(78))
    assert second.split.forget == (72, 73, 74, 75)
    assert set(second.split.retain) == {*range(72), 76, 77}
    assert indices(first.evaluation_sets["forget"]) == [78, 79]
    assert indices(second.evaluation_sets["forget"]) == [72, 73, 74, 75, 78, 79]
    assert not set(indices(second.evaluation_sets["retain"])) & {78, 79, 72, 73, 74, 75}
    assert second.split.name == "forget10, request 2 of 2"
    assert first.split.hash != second.split.hash


def test_the_target_knows_every_request_and_the_reference_none_up_to_this_one() -> None:
    full = {frozenset(indices(tofu(k, train_on="full", knowledge=False).samples("train"))) for k in (1, 2)}
    assert full == {frozenset(range(80))}
    kept = [set(indices(tofu(k, train_on="retain", knowledge=False).samples("train"))) for k in (1, 2)]
    assert kept == [set(range(78)), {*range(72), 76, 77}]


def test_the_tokenizer_is_that_of_all_requests() -> None:
    assert tofu(1).tokenizer.get_vocab() == tofu(2).tokenizer.get_vocab()


def test_who_was_asked_for_before_is_no_unseen_data() -> None:
    seen = {int(i) for batch in tofu(2, retain_authors=10).unseen_batches() for i in batch["index"]}
    assert seen and not seen & {78, 79}
    with pytest.raises(DataError, match="`unseen` data must be authors on neither side"):
        list(tofu(2).unseen_batches())
