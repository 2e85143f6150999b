from __future__ import annotations

import pytest

from unlearnkit.metrics import OverallScore, TargetedForgetEfficacy, TargetedOverallScore
from unlearnkit.metrics.functional import (
    CAPABILITY_PARTS,
    EFFICACY_PARTS,
    forget_efficacy,
    model_capability,
    overall_score,
    targeted_forget_efficacy,
)

MEANS = {name: 0.3 + 0.02 * place for place, name in enumerate(CAPABILITY_PARTS + EFFICACY_PARTS)}
TARGETED = {"forget_token_entropy": 0.9, "forget_refusal_entailment": 0.4}


def fed(metric, means):
    for name, value in means.items():
        metric.update(name, [value - 0.1, value + 0.1])
    return metric.compute().item()


def test_each_is_its_function():
    capability = model_capability({name: MEANS[name] for name in CAPABILITY_PARTS}).value
    untargeted = forget_efficacy({name: MEANS[name] for name in EFFICACY_PARTS})
    targeted = targeted_forget_efficacy(0.9, 0.4)
    assert fed(TargetedForgetEfficacy(), TARGETED) == pytest.approx(targeted)
    assert fed(OverallScore(), MEANS) == pytest.approx(overall_score(capability, untargeted))
    assert fed(TargetedOverallScore(), MEANS | TARGETED) == pytest.approx(
        overall_score(capability, untargeted, targeted)
    )
