"""What torch lacks: optimizers with state for each side."""

from unlearnkit.optim.dual_optim import DualOptim
from unlearnkit.optim.dual_optim_plus import DualOptimPlus
from unlearnkit.optim.sided import SidedOptimizer

__all__ = ["DualOptim", "DualOptimPlus", "SidedOptimizer"]
