"""Algebra on the parameter vector."""

from unlearnkit.gradients.gram import Gram, Weights, combine_, gram_matrix
from unlearnkit.gradients.inner_problem import InnerProblem
from unlearnkit.gradients.inner_products import inner_products
from unlearnkit.gradients.mask import Mask, ratio_mask, top_fraction
from unlearnkit.gradients.norm import clip_, squared_norm
from unlearnkit.gradients.parabola import Parabola, fit_parabola
from unlearnkit.gradients.probe import Displacement
from unlearnkit.gradients.saliency import saliency_mask

__all__ = [
    "Displacement",
    "Gram",
    "InnerProblem",
    "Mask",
    "Parabola",
    "Weights",
    "clip_",
    "combine_",
    "fit_parabola",
    "gram_matrix",
    "inner_products",
    "ratio_mask",
    "saliency_mask",
    "squared_norm",
    "top_fraction",
]
