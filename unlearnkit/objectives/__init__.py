"""One objective a file: what is minimised on a forget or a retain batch."""

from unlearnkit.objectives.adaptive_ascent import AdaptiveAscent
from unlearnkit.objectives.answer_preservation import AnswerPreservation
from unlearnkit.objectives.ascent_kl import AscentKL
from unlearnkit.objectives.ascent_nll import AscentNLL
from unlearnkit.objectives.base import Objective, PerSample
from unlearnkit.objectives.ceu import CEU
from unlearnkit.objectives.dpo import DPO
from unlearnkit.objectives.f_divergence import FDivergence
from unlearnkit.objectives.hidden_to_reference import HiddenToReference
from unlearnkit.objectives.idk import IDK
from unlearnkit.objectives.kl_to_reference import KLToReference
from unlearnkit.objectives.llmu import LLMU
from unlearnkit.objectives.logit_margin import LogitMargin
from unlearnkit.objectives.max_entropy import MaxEntropy
from unlearnkit.objectives.mismatch import Mismatch
from unlearnkit.objectives.nll import NLL
from unlearnkit.objectives.nll_and_distance import NLLAndDistance
from unlearnkit.objectives.nll_and_kl import NLLAndKL
from unlearnkit.objectives.npo import NPO
from unlearnkit.objectives.random_labels import RandomLabels
from unlearnkit.objectives.replay import Replay
from unlearnkit.objectives.rloo import RLOO
from unlearnkit.objectives.rmu import RMU
from unlearnkit.objectives.satimp import SatImp
from unlearnkit.objectives.simnpo import SimNPO
from unlearnkit.objectives.undial import UNDIAL
from unlearnkit.objectives.uniform_pixels import UniformPixels
from unlearnkit.objectives.wga import WGA
from unlearnkit.objectives.with_distance import WithDistance
from unlearnkit.objectives.wrong_condition import WrongCondition

__all__ = [
    "CEU",
    "DPO",
    "IDK",
    "LLMU",
    "NLL",
    "NPO",
    "RLOO",
    "RMU",
    "UNDIAL",
    "WGA",
    "AdaptiveAscent",
    "AnswerPreservation",
    "AscentKL",
    "AscentNLL",
    "FDivergence",
    "HiddenToReference",
    "KLToReference",
    "LogitMargin",
    "MaxEntropy",
    "Mismatch",
    "NLLAndDistance",
    "NLLAndKL",
    "Objective",
    "PerSample",
    "RandomLabels",
    "Replay",
    "SatImp",
    "SimNPO",
    "UniformPixels",
    "WithDistance",
    "WrongCondition",
]
