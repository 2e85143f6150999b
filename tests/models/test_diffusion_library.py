"""diffusers is imported quietly, and missed by name."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest

from unlearnkit.errors import MissingDependencyError
from unlearnkit.models.diffusion_library import diffusers_library


def test_the_first_import_says_nothing():
    code = "from unlearnkit.models.diffusion_library import diffusers_library; print(diffusers_library().__version__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "" and done.stdout.count("\n") == 1


def test_warnings_are_heard_again_after_it(caplog):
    diffusers_library()
    logging.getLogger("some.library").warning("heard")
    assert caplog.messages == ["heard"]


def test_missing_it_names_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'unlearnkit\[diffusion\]'"):
        diffusers_library()
