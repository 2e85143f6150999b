"""unlearnkit: machine unlearning in PyTorch, one library for methods, models and how to judge them.

A run is five choices that do not know each other: data, model, objectives, strategy, evaluator.
Public names are loaded when they are first used, so that ``import unlearnkit`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unlearnkit.callbacks import GeN
    from unlearnkit.datamodules import MUSE, TOFU, ForgetSet, Images, PairedDatasets, Preferences
    from unlearnkit.evaluators import (
        ClassificationEvaluator,
        MUSEEvaluator,
        PreferencesEvaluator,
        TOFUEvaluator,
    )
    from unlearnkit.host import PlainHost
    from unlearnkit.models import CausalLM, DiffusionModel, ImageClassifier, LoRA
    from unlearnkit.modules import FinetuningModule, UnlearningModule
    from unlearnkit.objectives import (
        CEU,
        DPO,
        IDK,
        LLMU,
        NLL,
        NPO,
        RLOO,
        RMU,
        UNDIAL,
        WGA,
        AdaptiveAscent,
        AnswerPreservation,
        AscentKL,
        AscentNLL,
        FDivergence,
        HiddenToReference,
        KLToReference,
        LogitMargin,
        MaxEntropy,
        Mismatch,
        NLLAndDistance,
        NLLAndKL,
        RandomLabels,
        SatImp,
        SimNPO,
        WithDistance,
    )
    from unlearnkit.optim import DualOptim, DualOptimPlus
    from unlearnkit.strategies import (
        DWA,
        IMTLG,
        MGDA,
        RLW,
        U2A,
        AlignedMTL,
        Alternate,
        CAGrad,
        ConFIG,
        DualProj,
        FixedWeights,
        ForgetOnly,
        GradDrop,
        GradNorm,
        GradVaccine,
        LossNorm,
        NashMTL,
        NGDiff,
        PCGrad,
        PrimalDual,
        RetainOnly,
        UPGrad,
    )
    from unlearnkit.study.comparison import compare
    from unlearnkit.study.unlearn import unlearn

__version__ = "0.1.0"

_HOMES = {
    "AdaptiveAscent": "unlearnkit.objectives",
    "AlignedMTL": "unlearnkit.strategies",
    "Alternate": "unlearnkit.strategies",
    "AnswerPreservation": "unlearnkit.objectives",
    "AscentKL": "unlearnkit.objectives",
    "AscentNLL": "unlearnkit.objectives",
    "CAGrad": "unlearnkit.strategies",
    "CEU": "unlearnkit.objectives",
    "CausalLM": "unlearnkit.models",
    "ClassificationEvaluator": "unlearnkit.evaluators",
    "ConFIG": "unlearnkit.strategies",
    "DPO": "unlearnkit.objectives",
    "DWA": "unlearnkit.strategies",
    "DiffusionModel": "unlearnkit.models",
    "DualOptim": "unlearnkit.optim",
    "DualOptimPlus": "unlearnkit.optim",
    "DualProj": "unlearnkit.strategies",
    "FDivergence": "unlearnkit.objectives",
    "FinetuningModule": "unlearnkit.modules",
    "FixedWeights": "unlearnkit.strategies",
    "ForgetOnly": "unlearnkit.strategies",
    "ForgetSet": "unlearnkit.datamodules",
    "GeN": "unlearnkit.callbacks",
    "GradDrop": "unlearnkit.strategies",
    "GradNorm": "unlearnkit.strategies",
    "GradVaccine": "unlearnkit.strategies",
    "HiddenToReference": "unlearnkit.objectives",
    "IDK": "unlearnkit.objectives",
    "IMTLG": "unlearnkit.strategies",
    "ImageClassifier": "unlearnkit.models",
    "Images": "unlearnkit.datamodules",
    "KLToReference": "unlearnkit.objectives",
    "LLMU": "unlearnkit.objectives",
    "LoRA": "unlearnkit.models",
    "LogitMargin": "unlearnkit.objectives",
    "LossNorm": "unlearnkit.strategies",
    "MGDA": "unlearnkit.strategies",
    "MUSE": "unlearnkit.datamodules",
    "MUSEEvaluator": "unlearnkit.evaluators",
    "MaxEntropy": "unlearnkit.objectives",
    "Mismatch": "unlearnkit.objectives",
    "NGDiff": "unlearnkit.strategies",
    "NLL": "unlearnkit.objectives",
    "NLLAndDistance": "unlearnkit.objectives",
    "NLLAndKL": "unlearnkit.objectives",
    "NPO": "unlearnkit.objectives",
    "NashMTL": "unlearnkit.strategies",
    "PCGrad": "unlearnkit.strategies",
    "PairedDatasets": "unlearnkit.datamodules",
    "PlainHost": "unlearnkit.host",
    "Preferences": "unlearnkit.datamodules",
    "PreferencesEvaluator": "unlearnkit.evaluators",
    "PrimalDual": "unlearnkit.strategies",
    "RLOO": "unlearnkit.objectives",
    "RLW": "unlearnkit.strategies",
    "RMU": "unlearnkit.objectives",
    "RandomLabels": "unlearnkit.objectives",
    "RetainOnly": "unlearnkit.strategies",
    "SatImp": "unlearnkit.objectives",
    "SimNPO": "unlearnkit.objectives",
    "TOFU": "unlearnkit.datamodules",
    "TOFUEvaluator": "unlearnkit.evaluators",
    "UNDIAL": "unlearnkit.objectives",
    "U2A": "unlearnkit.strategies",
    "UPGrad": "unlearnkit.strategies",
    "UnlearningModule": "unlearnkit.modules",
    "WGA": "unlearnkit.objectives",
    "WithDistance": "unlearnkit.objectives",
    "compare": "unlearnkit.study.comparison",
    "unlearn": "unlearnkit.study.unlearn",
}

__all__ = [
    "CEU",
    "DPO",
    "DWA",
    "IDK",
    "IMTLG",
    "LLMU",
    "MGDA",
    "MUSE",
    "NLL",
    "NPO",
    "RLOO",
    "RLW",
    "RMU",
    "TOFU",
    "U2A",
    "UNDIAL",
    "WGA",
    "AdaptiveAscent",
    "AlignedMTL",
    "Alternate",
    "AnswerPreservation",
    "AscentKL",
    "AscentNLL",
    "CAGrad",
    "CausalLM",
    "ClassificationEvaluator",
    "ConFIG",
    "DiffusionModel",
    "DualOptim",
    "DualOptimPlus",
    "DualProj",
    "FDivergence",
    "FinetuningModule",
    "FixedWeights",
    "ForgetOnly",
    "ForgetSet",
    "GeN",
    "GradDrop",
    "GradNorm",
    "GradVaccine",
    "HiddenToReference",
    "ImageClassifier",
    "Images",
    "KLToReference",
    "LoRA",
    "LogitMargin",
    "LossNorm",
    "MUSEEvaluator",
    "MaxEntropy",
    "Mismatch",
    "NGDiff",
    "NLLAndDistance",
    "NLLAndKL",
    "NashMTL",
    "PCGrad",
    "PairedDatasets",
    "PlainHost",
    "Preferences",
    "PreferencesEvaluator",
    "PrimalDual",
    "RandomLabels",
    "RetainOnly",
    "SatImp",
    "SimNPO",
    "TOFUEvaluator",
    "UPGrad",
    "UnlearningModule",
    "WithDistance",
    "__version__",
    "compare",
    "unlearn",
]


def __getattr__(name: str) -> Any:
    """Load a public name from its home on first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'unlearnkit' has no attribute {name!r}. It has: {', '.join(__all__)}.")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted({*globals(), *__all__})
