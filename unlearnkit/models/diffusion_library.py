"""diffusers_library: import diffusers where it is needed, without what it says of packages that are not."""

from __future__ import annotations

import contextlib
import io
import logging
from typing import Any

from unlearnkit.errors import MissingDependencyError


def diffusers_library() -> Any:
    """Import diffusers with the parts of it that are used here.

    Where torchao is installed, the first import writes process numbers and times to the standard error output, which
    would differ in each run of a notebook.

    Raises:
        MissingDependencyError: It is not installed.

    >>> diffusers_library().__name__
    'diffusers'
    """
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            import diffusers

            _ = (
                diffusers.UNet2DModel, diffusers.DiTTransformer2DModel, diffusers.AutoencoderKL,
                diffusers.DDPMScheduler, diffusers.DDIMScheduler, diffusers.DiffusionPipeline,
            )  # fmt: skip
    except ImportError as error:
        raise MissingDependencyError.extra("diffusers", "diffusion") from error
    finally:
        logging.disable(level)
    return diffusers
