"""Lightning callbacks: the automatic learning rate, the path of evaluations, the run's folder."""

from unlearnkit.callbacks.evaluate_every import EvaluateEvery
from unlearnkit.callbacks.gen import GeN
from unlearnkit.callbacks.run_folder import RunFolder

__all__ = ["EvaluateEvery", "GeN", "RunFolder"]
