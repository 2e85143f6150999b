"""One objective a file: what is minimised on a forget or a retain batch."""

from unlearnkit.objectives.adaptive_ascent import AdaptiveAscent
from unlearnkit.objectives.ascent_kl import AscentKL
from unlearnkit.objectives.ascent_nll import AscentNLL
from unlearnkit.objectives.base import Objective, PerSample
from unlearnkit.objectives.kl_to_reference import KLToReference
from unlearnkit.objectives.nll import NLL
from unlearnkit.objectives.nll_and_kl import NLLAndKL
from unlearnkit.objectives.npo import NPO
from unlearnkit.objectives.random_labels import RandomLabels

__all__ = [
    "NLL",
    "NPO",
    "AdaptiveAscent",
    "AscentKL",
    "AscentNLL",
    "KLToReference",
    "NLLAndKL",
    "Objective",
    "PerSample",
    "RandomLabels",
]
