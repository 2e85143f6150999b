"""Metrics: torchmetrics classes over the pure functions of ``unlearnkit.metrics.functional``.

Every name is loaded at first use, because torchmetrics takes seconds to import and functions do not need it.
Every class says what is better: ``higher_is_better`` is True, False, or None beside an ``ideal``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unlearnkit.metrics.attacks import MembershipAUC, PrivLeak
    from unlearnkit.metrics.closer_look import (
        EntailmentScore,
        ForgetEfficacy,
        ModelCapability,
        TextSimilarity,
        TokenEntropy,
    )
    from unlearnkit.metrics.extraction import ExactMemorisation, ExtractionStrength
    from unlearnkit.metrics.facts import FactAccuracy, ForgetFactAccuracy
    from unlearnkit.metrics.forget_quality import ForgetQuality
    from unlearnkit.metrics.memorisation import (
        ForgetProbability,
        ForgetTruthRatio,
        NormalisedProbability,
        PaperTruthRatio,
        Probability,
        TruthRatio,
    )
    from unlearnkit.metrics.overall import OverallScore, TargetedForgetEfficacy, TargetedOverallScore
    from unlearnkit.metrics.text import (
        Rouge1Recall,
        RougeLF,
        RougeLRecall,
        UnstemmedRougeLF,
        Utility,
        Verbmem,
    )
    from unlearnkit.metrics.utility import ModelUtility

_HOME = {
    "EntailmentScore": "closer_look",
    "ExactMemorisation": "extraction",
    "ExtractionStrength": "extraction",
    "FactAccuracy": "facts",
    "ForgetEfficacy": "closer_look",
    "ForgetFactAccuracy": "facts",
    "ForgetProbability": "memorisation",
    "ForgetQuality": "forget_quality",
    "ForgetTruthRatio": "memorisation",
    "MembershipAUC": "attacks",
    "ModelCapability": "closer_look",
    "ModelUtility": "utility",
    "NormalisedProbability": "memorisation",
    "OverallScore": "overall",
    "PaperTruthRatio": "memorisation",
    "PrivLeak": "attacks",
    "Probability": "memorisation",
    "Rouge1Recall": "text",
    "RougeLF": "text",
    "RougeLRecall": "text",
    "TargetedForgetEfficacy": "overall",
    "TargetedOverallScore": "overall",
    "TextSimilarity": "closer_look",
    "TokenEntropy": "closer_look",
    "TruthRatio": "memorisation",
    "UnstemmedRougeLF": "text",
    "Utility": "text",
    "Verbmem": "text",
}

__all__ = [
    "EntailmentScore",
    "ExactMemorisation",
    "ExtractionStrength",
    "FactAccuracy",
    "ForgetEfficacy",
    "ForgetFactAccuracy",
    "ForgetProbability",
    "ForgetQuality",
    "ForgetTruthRatio",
    "MembershipAUC",
    "ModelCapability",
    "ModelUtility",
    "NormalisedProbability",
    "OverallScore",
    "PaperTruthRatio",
    "PrivLeak",
    "Probability",
    "Rouge1Recall",
    "RougeLF",
    "RougeLRecall",
    "TargetedForgetEfficacy",
    "TargetedOverallScore",
    "TextSimilarity",
    "TokenEntropy",
    "TruthRatio",
    "UnstemmedRougeLF",
    "Utility",
    "Verbmem",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
