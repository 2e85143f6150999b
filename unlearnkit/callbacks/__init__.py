"""Lightning callbacks: automatic learning rate, evaluation, masks, an end to forgetting, a way back, the run folder."""

from unlearnkit.callbacks.collapse_guard import CollapseGuard
from unlearnkit.callbacks.evaluate_every import EvaluateEvery
from unlearnkit.callbacks.forget_target import ForgetTarget
from unlearnkit.callbacks.frozen_statistics import FrozenStatistics
from unlearnkit.callbacks.gen import GeN
from unlearnkit.callbacks.moving_average import MovingAverage
from unlearnkit.callbacks.run_folder import RunFolder
from unlearnkit.callbacks.weight_mask import WeightMask

__all__ = [
    "CollapseGuard",
    "EvaluateEvery",
    "ForgetTarget",
    "FrozenStatistics",
    "GeN",
    "MovingAverage",
    "RunFolder",
    "WeightMask",
]
