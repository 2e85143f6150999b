"""One strategy a file: how two objectives' gradients become one update.

What is left out, and why. FairGrad is Nash-MTL at ``alpha = 1`` and has no closed form elsewhere. FAMO divides by
losses and takes their logarithms, which an ascended loss (negative, unbounded below) does not have. Uncertainty
weighting, GLS and IMTL-L want positive losses for the same reason. RotoGrad learns rotations of features inside the
network, which a strategy does not see. Krum and TrimmedMean reject outliers among many gradients: there are two.
SDMGrad, MoCo and MoDo take several independent batches a round, or hold a running mean of each gradient (two
more copies of the model).
"""

from unlearnkit.strategies.aligned_mtl import AlignedMTL
from unlearnkit.strategies.alternate import Alternate
from unlearnkit.strategies.base import NON_FINITE, GramStrategy, Losses, LossStrategy, RoundReport, Strategy
from unlearnkit.strategies.cagrad import CAGrad
from unlearnkit.strategies.dual_proj import DualProj
from unlearnkit.strategies.dwa import DWA
from unlearnkit.strategies.fixed_weights import FixedWeights
from unlearnkit.strategies.forget_only import ForgetOnly
from unlearnkit.strategies.grad_drop import GradDrop
from unlearnkit.strategies.grad_norm import GradNorm
from unlearnkit.strategies.grad_vaccine import GradVaccine
from unlearnkit.strategies.loss_norm import LossNorm
from unlearnkit.strategies.mgda import MGDA
from unlearnkit.strategies.ngdiff import NGDiff
from unlearnkit.strategies.pcgrad import PCGrad
from unlearnkit.strategies.primal_dual import PrimalDual
from unlearnkit.strategies.retain_only import RetainOnly
from unlearnkit.strategies.rlw import RLW
from unlearnkit.strategies.u2a import U2A
from unlearnkit.strategies.unit_sum import IMTLG, ConFIG, NashMTL
from unlearnkit.strategies.upgrad import UPGrad

__all__ = [
    "DWA",
    "IMTLG",
    "MGDA",
    "NON_FINITE",
    "RLW",
    "U2A",
    "AlignedMTL",
    "Alternate",
    "CAGrad",
    "ConFIG",
    "DualProj",
    "FixedWeights",
    "ForgetOnly",
    "GradDrop",
    "GradNorm",
    "GradVaccine",
    "GramStrategy",
    "LossNorm",
    "LossStrategy",
    "Losses",
    "NGDiff",
    "NashMTL",
    "PCGrad",
    "PrimalDual",
    "RetainOnly",
    "RoundReport",
    "Strategy",
    "UPGrad",
]
