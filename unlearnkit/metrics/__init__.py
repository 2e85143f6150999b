"""Metrics: torchmetrics classes over the pure functions of ``unlearnkit.metrics.functional``.

Every name is loaded at first use, because torchmetrics takes seconds to import and functions do not need it.
Every class says what is better: ``higher_is_better`` is True, False, or None beside an ``ideal``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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
    from unlearnkit.metrics.text import Rouge1Recall, RougeLF, RougeLRecall, Utility, Verbmem
    from unlearnkit.metrics.utility import ModelUtility

_HOME = {
    "FactAccuracy": "facts",
    "ForgetFactAccuracy": "facts",
    "ForgetProbability": "memorisation",
    "ForgetQuality": "forget_quality",
    "ForgetTruthRatio": "memorisation",
    "ModelUtility": "utility",
    "NormalisedProbability": "memorisation",
    "PaperTruthRatio": "memorisation",
    "Probability": "memorisation",
    "Rouge1Recall": "text",
    "RougeLF": "text",
    "RougeLRecall": "text",
    "TruthRatio": "memorisation",
    "Utility": "text",
    "Verbmem": "text",
}

__all__ = [
    "FactAccuracy",
    "ForgetFactAccuracy",
    "ForgetProbability",
    "ForgetQuality",
    "ForgetTruthRatio",
    "ModelUtility",
    "NormalisedProbability",
    "PaperTruthRatio",
    "Probability",
    "Rouge1Recall",
    "RougeLF",
    "RougeLRecall",
    "TruthRatio",
    "Utility",
    "Verbmem",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
