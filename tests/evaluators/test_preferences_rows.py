"""Sets of rows, and texts named by set and response."""

from __future__ import annotations

import pytest

from tests.evaluators.preferences_stand_ins import Data
from unlearnkit.errors import DataError, UnknownNameError
from unlearnkit.evaluators.preferences_rows import SETS, rows_of, texts_named


def test_first_rows_of_each_set() -> None:
    sets = Data().evaluation_sets
    for name in SETS:
        assert rows_of(sets, name, None) == sets[name] and rows_of(sets, name, 2) == sets[name][:2]
    with pytest.raises(
        DataError, match="`evaluation_sets` must hold rows of 'retain'. Found no such set; there are no"
    ):
        rows_of({}, "retain", None)


def test_texts_that_are_named() -> None:
    assert texts_named("members", "retain.chosen") == ("retain", "chosen")
    with pytest.raises(UnknownNameError, match="`nonmembers` must be one of: forget.chosen"):
        texts_named("nonmembers", "holdout")
