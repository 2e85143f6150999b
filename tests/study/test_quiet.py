"""quiet: hints inside the block are silent, and everything is as it was after it."""

from __future__ import annotations

import logging

import pytest

from unlearnkit.study.quiet import LOGGERS, quiet
from unlearnkit.study.unlearn import unlearn
from unlearnkit.testing import toy_dataset


def test_levels_are_put_back_also_after_an_error() -> None:
    before = [logging.getLogger(name).level for name in LOGGERS]
    inside = []

    def broken() -> None:
        with quiet():
            inside.extend(logging.getLogger(name).level for name in LOGGERS)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        broken()
    assert inside == [logging.ERROR] * len(LOGGERS)
    assert [logging.getLogger(name).level for name in LOGGERS] == before


def test_one_call_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    from torch import nn

    unlearn(nn.Linear(5, 3), forget=toy_dataset(8, seed=0), retain=toy_dataset(8, seed=1), rounds=1)
    assert capfd.readouterr() == ("", "")
