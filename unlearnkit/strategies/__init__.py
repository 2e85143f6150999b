"""One strategy a file: how two objectives' gradients become one update."""

from unlearnkit.strategies.base import NON_FINITE, GramStrategy, Losses, LossStrategy, RoundReport, Strategy
from unlearnkit.strategies.fixed_weights import FixedWeights
from unlearnkit.strategies.forget_only import ForgetOnly
from unlearnkit.strategies.loss_norm import LossNorm
from unlearnkit.strategies.ngdiff import NGDiff
from unlearnkit.strategies.retain_only import RetainOnly

__all__ = [
    "NON_FINITE",
    "FixedWeights",
    "ForgetOnly",
    "GramStrategy",
    "LossNorm",
    "LossStrategy",
    "Losses",
    "NGDiff",
    "RetainOnly",
    "RoundReport",
    "Strategy",
]
