"""The package's front door: light to import, every public name behind it."""

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import unlearnkit

HEAVY = ("torch", "lightning", "transformers", "datasets", "matplotlib", "numpy")


def test_import_loads_nothing_heavy():
    code = f"import sys, unlearnkit; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", unlearnkit.__all__)
def test_public_name_is_the_one_in_its_home(name):
    found = getattr(unlearnkit, name)
    if name != "__version__":
        assert found is getattr(import_module(unlearnkit._HOMES[name]), name)


def test_type_checkers_see_the_same_names():
    tree = ast.parse(Path(unlearnkit.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.name: part.module for part in block.body for alias in part.names}
    assert seen == unlearnkit._HOMES
    assert {*seen, "__version__"} == set(unlearnkit.__all__)


def test_dir_lists_public_names_before_they_are_loaded():
    assert set(unlearnkit.__all__) <= set(dir(unlearnkit))


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(AttributeError, match=r"no attribute 'NGDif'.*NGDiff"):
        _ = unlearnkit.NGDif


def test_python_dash_m_is_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "unlearnkit", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"unlearnkit {unlearnkit.__version__}\n"
