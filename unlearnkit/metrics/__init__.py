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
    from unlearnkit.metrics.distinct import DistinctN
    from unlearnkit.metrics.drift import DistanceToStart, KLFromStart
    from unlearnkit.metrics.extraction import ExactMemorisation, ExtractionStrength
    from unlearnkit.metrics.facts import FactAccuracy, ForgetFactAccuracy
    from unlearnkit.metrics.forget_quality import ForgetQuality
    from unlearnkit.metrics.judged import (
        AnswerASR,
        HallucinationRate,
        LengthControlledWinRate,
        SummaryASR,
        UsefulASR,
        WinRate,
    )
    from unlearnkit.metrics.memorisation import (
        ForgetProbability,
        ForgetTruthRatio,
        NormalisedProbability,
        PaperTruthRatio,
        Probability,
        TruthRatio,
    )
    from unlearnkit.metrics.min_k import MinKMembership
    from unlearnkit.metrics.overall import OverallScore, TargetedForgetEfficacy, TargetedOverallScore
    from unlearnkit.metrics.perplexity import OwnPerplexity, ReferencePerplexity
    from unlearnkit.metrics.preferences import (
        Coherence,
        HallucinationProxy,
        PreferenceAccuracy,
        PreferenceMargin,
        RewardValue,
    )
    from unlearnkit.metrics.refusals import KeywordASR, OverRefusal, SafetyScore
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
    "AnswerASR": "judged",
    "Coherence": "preferences",
    "DistanceToStart": "drift",
    "DistinctN": "distinct",
    "EntailmentScore": "closer_look",
    "ExactMemorisation": "extraction",
    "ExtractionStrength": "extraction",
    "FactAccuracy": "facts",
    "ForgetEfficacy": "closer_look",
    "ForgetFactAccuracy": "facts",
    "ForgetProbability": "memorisation",
    "ForgetQuality": "forget_quality",
    "ForgetTruthRatio": "memorisation",
    "HallucinationProxy": "preferences",
    "HallucinationRate": "judged",
    "KLFromStart": "drift",
    "KeywordASR": "refusals",
    "LengthControlledWinRate": "judged",
    "MembershipAUC": "attacks",
    "MinKMembership": "min_k",
    "ModelCapability": "closer_look",
    "ModelUtility": "utility",
    "NormalisedProbability": "memorisation",
    "OverRefusal": "refusals",
    "OverallScore": "overall",
    "OwnPerplexity": "perplexity",
    "PaperTruthRatio": "memorisation",
    "PreferenceAccuracy": "preferences",
    "PreferenceMargin": "preferences",
    "PrivLeak": "attacks",
    "Probability": "memorisation",
    "ReferencePerplexity": "perplexity",
    "RewardValue": "preferences",
    "Rouge1Recall": "text",
    "RougeLF": "text",
    "RougeLRecall": "text",
    "SafetyScore": "refusals",
    "SummaryASR": "judged",
    "TargetedForgetEfficacy": "overall",
    "TargetedOverallScore": "overall",
    "TextSimilarity": "closer_look",
    "TokenEntropy": "closer_look",
    "TruthRatio": "memorisation",
    "UnstemmedRougeLF": "text",
    "UsefulASR": "judged",
    "Utility": "text",
    "Verbmem": "text",
    "WinRate": "judged",
}

__all__ = [
    "AnswerASR",
    "Coherence",
    "DistanceToStart",
    "DistinctN",
    "EntailmentScore",
    "ExactMemorisation",
    "ExtractionStrength",
    "FactAccuracy",
    "ForgetEfficacy",
    "ForgetFactAccuracy",
    "ForgetProbability",
    "ForgetQuality",
    "ForgetTruthRatio",
    "HallucinationProxy",
    "HallucinationRate",
    "KLFromStart",
    "KeywordASR",
    "LengthControlledWinRate",
    "MembershipAUC",
    "MinKMembership",
    "ModelCapability",
    "ModelUtility",
    "NormalisedProbability",
    "OverRefusal",
    "OverallScore",
    "OwnPerplexity",
    "PaperTruthRatio",
    "PreferenceAccuracy",
    "PreferenceMargin",
    "PrivLeak",
    "Probability",
    "ReferencePerplexity",
    "RewardValue",
    "Rouge1Recall",
    "RougeLF",
    "RougeLRecall",
    "SafetyScore",
    "SummaryASR",
    "TargetedForgetEfficacy",
    "TargetedOverallScore",
    "TextSimilarity",
    "TokenEntropy",
    "TruthRatio",
    "UnstemmedRougeLF",
    "UsefulASR",
    "Utility",
    "Verbmem",
    "WinRate",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
