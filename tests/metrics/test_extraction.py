from __future__ import annotations

import pytest

from unlearnkit.metrics import ExactMemorisation, ExtractionStrength
from unlearnkit.metrics.functional import exact_memorisation, extraction_strength

ROWS = [[True, True], [False], [True, False, True]]


def test_the_means_of_their_functions():
    exact, strength = ExactMemorisation(), ExtractionStrength()
    theirs = ExtractionStrength(convention="open-unlearning")
    for metric in (exact, strength, theirs):
        metric.update(ROWS[:1])
        metric.update(ROWS[1:])
    assert exact.compute().item() == pytest.approx(sum(map(exact_memorisation, ROWS)) / 3)
    assert strength.compute().item() == pytest.approx(sum(map(extraction_strength, ROWS)) / 3)
    assert theirs.compute().item() == pytest.approx((1 + 1 + 1 / 3) / 3)
