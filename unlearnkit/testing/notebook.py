"""What every notebook's first code cell calls: seeds, determinism, one thread, no noise, one look."""

from __future__ import annotations

import logging
import os
import random
import sys
import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from unlearnkit.errors import ConfigurationError

QUIET_LOGGERS = (
    "lightning.pytorch",
    "lightning.fabric",
    "lightning.pytorch.utilities.rank_zero",
    "torch.utils._pytree",
    "matplotlib",
    "unlearnkit",
)
"""Loggers whose hints are for one long run; a notebook makes many short ones."""

NOISE = (".*LeafSpec.*", ".*v4.49.0.*", ".*does not have many workers.*", ".*IProgress not found.*")
"""Warnings of libraries about other libraries, which no learner could act on."""

ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
}
"""What libraries read when they are imported; a value that is set already is kept."""


@dataclass(frozen=True)
class SetUp:
    """What the first cell returns.

    Attributes:
        seed: The seed of everything that is not given one of its own.
        trainer: Arguments of a ``lightning.pytorch.Trainer`` that is silent, writes nothing and runs on one CPU.

    >>> SetUp(seed=1).trainer["accelerator"]
    'cpu'
    """

    seed: int
    trainer: dict[str, Any] = field(
        default_factory=lambda: {
            "accelerator": "cpu",
            "devices": 1,
            "logger": False,
            "enable_checkpointing": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "limit_val_batches": 0,
        }
    )


def set_up(seed: int = 0) -> SetUp:
    """Make a notebook repeatable, quiet and uniform to look at; call it before anything else.

    Seeds Python, NumPy and torch, asks torch for deterministic algorithms and one thread (the fastest for small
    models, and sums come out in one order), silences hints, prints two decimals, and draws figures in the one
    palette, inline.

    Args:
        seed: Of all generators.

    Returns:
        The seed and the arguments of a silent trainer.

    Raises:
        ConfigurationError: The seed is negative.

    >>> set_up(seed=-1)
    Traceback (most recent call last):
    unlearnkit.errors.ConfigurationError: `seed` must be 0 or above. Found -1. Use seed=0.
    """
    if seed < 0:
        raise ConfigurationError(f"`seed` must be 0 or above. Found {seed}. Use seed=0.")
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.set_printoptions(precision=2, sci_mode=False)  # type: ignore[no-untyped-call]
    for message in NOISE:
        warnings.filterwarnings("ignore", message=message)
    for logger in QUIET_LOGGERS:
        logging.getLogger(logger).setLevel(logging.ERROR)
    _figures()
    return SetUp(seed)


def _figures() -> None:
    """Draw in the one palette, and inline where there is a kernel, whatever backend the environment names."""
    import matplotlib

    from unlearnkit.plots.palette import figure_defaults

    defaults: Any = figure_defaults()  # rcParams' keys are typed as literals from matplotlib 3.11 on
    matplotlib.rcParams.update(defaults)
    if "ipykernel" in sys.modules:
        from IPython.core.getipython import get_ipython

        shell = get_ipython()
        if shell is not None:
            shell.run_line_magic("matplotlib", "inline")
            matplotlib.rcParams.update(defaults)  # the magic puts its own in place
