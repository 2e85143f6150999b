"""Benchmarks: one pass over the evaluation sets, one JSON with summary, samples and definitions."""

from unlearnkit.evaluators.base import Evaluation, Evaluator, read, require_comparable, write
from unlearnkit.evaluators.tofu import TOFUEvaluator

__all__ = ["Evaluation", "Evaluator", "TOFUEvaluator", "read", "require_comparable", "write"]
