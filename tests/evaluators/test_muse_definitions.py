"""Every number has a definition and a direction."""

from __future__ import annotations

import pytest

from tests.evaluators.muse_stand_ins import diverged, news
from unlearnkit.evaluators import MUSEEvaluator
from unlearnkit.evaluators.muse_definitions import DEFINITIONS, higher_is_better


def test_every_number_of_a_summary_is_defined_and_no_other():
    summary = MUSEEvaluator(rows=1).evaluate(diverged(), news())["summary"]
    assert set(summary) == set(DEFINITIONS)


@pytest.mark.parametrize(
    ("name", "better"),
    [
        ("forget_verbmem", "near reference"),
        ("privleak_ou", "near reference"),
        ("retain_knowmem_ou", True),
        ("utility", True),
        ("knowmem", False),
        ("retain_loss", False),
    ],
)
def test_directions(name, better):
    assert higher_is_better(name) == better
