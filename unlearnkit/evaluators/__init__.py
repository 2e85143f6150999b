"""Benchmarks: one pass over the evaluation sets, one JSON with summary, samples and definitions."""

from unlearnkit.evaluators.base import Evaluation, Evaluator, read, require_comparable, write
from unlearnkit.evaluators.classification import ClassificationEvaluator
from unlearnkit.evaluators.generation import GenerationEvaluator
from unlearnkit.evaluators.muse import MUSEEvaluator
from unlearnkit.evaluators.muse_requests import scalability, sustainability
from unlearnkit.evaluators.preferences import PreferencesEvaluator
from unlearnkit.evaluators.tofu import TOFUEvaluator

__all__ = [
    "ClassificationEvaluator",
    "Evaluation",
    "Evaluator",
    "GenerationEvaluator",
    "MUSEEvaluator",
    "PreferencesEvaluator",
    "TOFUEvaluator",
    "read",
    "require_comparable",
    "scalability",
    "sustainability",
    "write",
]
