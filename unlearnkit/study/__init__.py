"""Whole studies: compare methods on several seeds, requests in sequence, unlearn in one call, export a run."""

from unlearnkit.study.comparison import compare
from unlearnkit.study.continual import continual
from unlearnkit.study.export import export_run
from unlearnkit.study.in_sequence import unlearn_in_sequence
from unlearnkit.study.method import Method, load_method, method_names
from unlearnkit.study.unlearn import Unlearned, unlearn

__all__ = [
    "Method",
    "Unlearned",
    "compare",
    "continual",
    "export_run",
    "load_method",
    "method_names",
    "unlearn",
    "unlearn_in_sequence",
]
