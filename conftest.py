"""The environment of every test, doctest and notebook kernel, set before anything heavy is imported."""

from __future__ import annotations

import os
from pathlib import Path

# Kernels and worker processes inherit these.
os.environ.update(
    MPLBACKEND="Agg",
    HF_HUB_OFFLINE="1",
    TOKENIZERS_PARALLELISM="false",
    OMP_NUM_THREADS="1",
    PYTHONHASHSEED="0",
    COLUMNS="100",
    NO_COLOR="1",
)
# Relative paths mean the same after a test has changed its folder.
if os.environ.get("UNLEARNKIT_TEST_DATA"):
    os.environ["UNLEARNKIT_TEST_DATA"] = str(Path(os.environ["UNLEARNKIT_TEST_DATA"]).resolve())


def pytest_configure() -> None:
    """Give torch one thread, and hypothesis the same examples in every run of continuous integration.

    With one thread small tensors are fastest, and sums come out in one order. At home hypothesis draws new
    examples each time, which is where it finds something; a merge must not hang on a draw.
    """
    import torch
    from hypothesis import settings

    torch.set_num_threads(1)
    settings.register_profile("ci", derandomize=True, deadline=None)
    if os.environ.get("CI"):
        settings.load_profile("ci")
