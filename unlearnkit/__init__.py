"""unlearnkit: machine unlearning in PyTorch, one library for methods, models and how to judge them.

A run is five choices that do not know each other: data, model, objectives, strategy, evaluator.
Public names are loaded when they are first used, so that ``import unlearnkit`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unlearnkit.callbacks import GeN
    from unlearnkit.datamodules import TOFU, ForgetSet, Images, PairedDatasets
    from unlearnkit.evaluators import ClassificationEvaluator, TOFUEvaluator
    from unlearnkit.host import PlainHost
    from unlearnkit.models import CausalLM, ImageClassifier, LoRA
    from unlearnkit.modules import FinetuningModule, UnlearningModule
    from unlearnkit.objectives import (
        NLL,
        NPO,
        AdaptiveAscent,
        AscentKL,
        AscentNLL,
        KLToReference,
        NLLAndKL,
        RandomLabels,
    )
    from unlearnkit.optim import DualOptim, DualOptimPlus
    from unlearnkit.strategies import (
        DWA,
        IMTLG,
        MGDA,
        RLW,
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
    "AscentKL": "unlearnkit.objectives",
    "AscentNLL": "unlearnkit.objectives",
    "CAGrad": "unlearnkit.strategies",
    "CausalLM": "unlearnkit.models",
    "ClassificationEvaluator": "unlearnkit.evaluators",
    "ConFIG": "unlearnkit.strategies",
    "DWA": "unlearnkit.strategies",
    "DualOptim": "unlearnkit.optim",
    "DualOptimPlus": "unlearnkit.optim",
    "DualProj": "unlearnkit.strategies",
    "FinetuningModule": "unlearnkit.modules",
    "FixedWeights": "unlearnkit.strategies",
    "ForgetOnly": "unlearnkit.strategies",
    "ForgetSet": "unlearnkit.datamodules",
    "GeN": "unlearnkit.callbacks",
    "GradDrop": "unlearnkit.strategies",
    "GradNorm": "unlearnkit.strategies",
    "GradVaccine": "unlearnkit.strategies",
    "IMTLG": "unlearnkit.strategies",
    "ImageClassifier": "unlearnkit.models",
    "Images": "unlearnkit.datamodules",
    "KLToReference": "unlearnkit.objectives",
    "LoRA": "unlearnkit.models",
    "LossNorm": "unlearnkit.strategies",
    "MGDA": "unlearnkit.strategies",
    "NGDiff": "unlearnkit.strategies",
    "NLL": "unlearnkit.objectives",
    "NLLAndKL": "unlearnkit.objectives",
    "NPO": "unlearnkit.objectives",
    "NashMTL": "unlearnkit.strategies",
    "PCGrad": "unlearnkit.strategies",
    "PairedDatasets": "unlearnkit.datamodules",
    "PlainHost": "unlearnkit.host",
    "RLW": "unlearnkit.strategies",
    "RandomLabels": "unlearnkit.objectives",
    "RetainOnly": "unlearnkit.strategies",
    "TOFU": "unlearnkit.datamodules",
    "TOFUEvaluator": "unlearnkit.evaluators",
    "UPGrad": "unlearnkit.strategies",
    "UnlearningModule": "unlearnkit.modules",
    "compare": "unlearnkit.study.comparison",
    "unlearn": "unlearnkit.study.unlearn",
}

__all__ = [
    "DWA",
    "IMTLG",
    "MGDA",
    "NLL",
    "NPO",
    "RLW",
    "TOFU",
    "AdaptiveAscent",
    "AlignedMTL",
    "Alternate",
    "AscentKL",
    "AscentNLL",
    "CAGrad",
    "CausalLM",
    "ClassificationEvaluator",
    "ConFIG",
    "DualOptim",
    "DualOptimPlus",
    "DualProj",
    "FinetuningModule",
    "FixedWeights",
    "ForgetOnly",
    "ForgetSet",
    "GeN",
    "GradDrop",
    "GradNorm",
    "GradVaccine",
    "ImageClassifier",
    "Images",
    "KLToReference",
    "LoRA",
    "LossNorm",
    "NGDiff",
    "NLLAndKL",
    "NashMTL",
    "PCGrad",
    "PairedDatasets",
    "PlainHost",
    "RandomLabels",
    "RetainOnly",
    "TOFUEvaluator",
    "UPGrad",
    "UnlearningModule",
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
