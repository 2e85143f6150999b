"""The derived rule of OVR on rows of paper 002's three tables, and TFE."""

from __future__ import annotations

from statistics import harmonic_mean

import pytest

from unlearnkit.errors import DataError
from unlearnkit.metrics.functional import overall_score, targeted_forget_efficacy

PRINTED = [  # UFE, TFE or None, MU, OVR
    (78.11, 45.45, 18.61, 40.19),  # Phi-1.5, IDK+GD, Joint, 1 %
    (73.35, 62.49, 48.14, 58.03),
    (67.63, 67.60, 51.52, 59.57),
    (65.26, 65.59, 51.30, 58.36),
    (95.41, None, 11.45, 53.43),  # Phi-1.5, ME+GD, Joint, 1 %
    (92.46, None, 50.32, 71.39),
    (85.96, 59.50, 38.62, 55.68),  # Llama 2, IDK+GD, Joint, 1 %
    (73.91, 68.15, 75.46, 73.25),
    (97.88, None, 75.82, 86.85),  # Llama 2, ME+GD, DO+, 1 %
    (30.55, None, 61.45, 46.00),  # Llama 3, the model before
    (85.54, 72.96, 27.38, 53.32),
    (85.47, 69.59, 33.36, 55.45),
    (97.77, None, 49.29, 73.52),
]


@pytest.mark.parametrize(("untargeted", "targeted", "capability", "printed"), PRINTED)
def test_the_papers_rows(untargeted, targeted, capability, printed):
    assert overall_score(capability, untargeted, targeted) == pytest.approx(printed, abs=0.011)


def test_the_one_row_that_the_rule_does_not_give():
    """Llama 2, IDK+GD, 5 %, DO+ 8bit: printed 74.42."""
    assert overall_score(76.27, 75.04, 70.27) == pytest.approx(74.4625)


def test_targeted_efficacy():
    assert targeted_forget_efficacy(0.8, 0.3) == pytest.approx(harmonic_mean([0.8, 0.3]))
    assert targeted_forget_efficacy(0.0, 1.0) == 0.0
    with pytest.raises(DataError, match="refusal_entailment"):
        targeted_forget_efficacy(0.5, -0.5)
