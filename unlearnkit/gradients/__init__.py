"""Algebra on the parameter vector."""

from unlearnkit.gradients.gram import Gram, Weights, combine_, gram_matrix
from unlearnkit.gradients.norm import clip_, squared_norm
from unlearnkit.gradients.parabola import Parabola, fit_parabola
from unlearnkit.gradients.probe import Displacement

__all__ = [
    "Displacement",
    "Gram",
    "Parabola",
    "Weights",
    "clip_",
    "combine_",
    "fit_parabola",
    "gram_matrix",
    "squared_norm",
]
