"""One objective a file: what is minimised on a forget or a retain batch."""

from unlearnkit.objectives.ascent_nll import AscentNLL
from unlearnkit.objectives.base import Objective, PerSample
from unlearnkit.objectives.kl_to_reference import KLToReference
from unlearnkit.objectives.nll import NLL
from unlearnkit.objectives.npo import NPO

__all__ = ["NLL", "NPO", "AscentNLL", "KLToReference", "Objective", "PerSample"]
