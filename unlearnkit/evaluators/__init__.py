"""Benchmarks: one pass over the evaluation sets, one JSON with summary, samples and definitions."""

from unlearnkit.evaluators.base import Evaluation, Evaluator, read, require_comparable, write
from unlearnkit.evaluators.classification import ClassificationEvaluator
from unlearnkit.evaluators.tofu import TOFUEvaluator

__all__ = [
    "ClassificationEvaluator",
    "Evaluation",
    "Evaluator",
    "TOFUEvaluator",
    "read",
    "require_comparable",
    "write",
]
