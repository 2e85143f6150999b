"""What installing promises: the declared packages, the exact versions, the files that come with the wheel."""

import ast
import re
import stat
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import unlearnkit

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CORE = [Requirement(text) for text in PROJECT["dependencies"]]
EXTRAS = {
    name: [Requirement(text) for text in texts] for name, texts in PROJECT["optional-dependencies"].items()
}
LINES = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
PINNED = dict(line.split("==") for line in LINES if line and not line.startswith("#"))
PINNED = {canonicalize_name(name): Version(version) for name, version in PINNED.items()}
# Where the name that is imported is not the name that is installed.
IMPORTED_AS = {
    "PIL": "pillow",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
    "cycler": "matplotlib",
}
# An extra that no test runs: `make test` does not install it, and no version of it was tested.
UNTESTED = {"downstream"}
OWN = {"unlearnkit", "tests", "benchmarks", "experiments"}


def names(requirements):
    return {canonicalize_name(requirement.name) for requirement in requirements}


@pytest.mark.parametrize(
    "package", ["lightning", "torch", "torchvision", "transformers", "datasets", "torchmetrics", "timm"]
)
def test_core_has(package):
    assert package in names(CORE)


@pytest.mark.parametrize("package", ["jupyterlab", "nbval"])
def test_notebook_extra_has(package):
    assert package in names(EXTRAS["notebook"])


@pytest.mark.parametrize(
    ("extra", "package"),
    [
        ("diffusion", "diffusers"),
        ("lora", "peft"),
        ("quant", "torchao"),
        ("quant", "bitsandbytes"),
        ("baselines", "torchjd"),
        ("downstream", "lm-eval"),
    ],
)
def test_extra_has(extra, package):
    assert package in names(EXTRAS[extra])


def test_kernels_of_version_7_stay_out():
    kernel = next(requirement for requirement in EXTRAS["notebook"] if requirement.name == "ipykernel")
    assert "7.0.0" not in kernel.specifier
    assert "6.31.0" in kernel.specifier


@pytest.mark.parametrize(
    ("requirement", "tested"),
    [(r, True) for r in CORE] + [(r, name not in UNTESTED) for name, group in EXTRAS.items() for r in group],
    ids=str,
)
def test_requirement_has_a_lower_bound_a_reason_and_a_tested_version(requirement, tested):
    assert any(part.operator == ">=" for part in requirement.specifier)
    written = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    line = next(line for line in written.splitlines() if f'"{requirement.name}' in line and ">=" in line)
    assert re.search(r"# \S", line), f"{line.strip()} needs its reason as a comment"
    if tested:
        assert PINNED[canonicalize_name(requirement.name)] in requirement.specifier
    else:
        assert canonicalize_name(requirement.name) not in PINNED


def imports_of(path):
    """Return the top-level packages that a file imports, at its top or inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module.partition(".")[0])
    return found - set(sys.stdlib_module_names) - OWN


def test_every_import_of_the_package_is_declared():
    declared = names(CORE) | set().union(*map(names, EXTRAS.values()))
    optional = names(EXTRAS["test"]) | names(EXTRAS["dev"])
    for path in sorted((ROOT / "unlearnkit").rglob("*.py")):
        allowed = declared if "testing" in path.parts else declared - (optional - names(CORE))
        missing = {
            name for name in imports_of(path) if canonicalize_name(IMPORTED_AS.get(name, name)) not in allowed
        }
        assert not missing, (
            f"{path.relative_to(ROOT)} imports {sorted(missing)}, which pyproject does not declare"
        )


def test_tests_import_only_what_make_test_installs():
    installed = set(PINNED)
    distributions = packages_distributions()
    for path in sorted((ROOT / "tests").rglob("*.py")):
        for name in imports_of(path):
            providers = {canonicalize_name(p) for p in distributions.get(name, [IMPORTED_AS.get(name, name)])}
            assert providers & installed, (
                f"{path.relative_to(ROOT)} imports {name}, which make test does not install"
            )


def test_constraints_fit_together():
    """Each pinned version lies in the bounds of every other pinned package that is installed here."""
    environment = {"extra": ""}
    for name, version in PINNED.items():
        try:
            texts = requires(name) or []
        except Exception:  # not on this platform
            continue
        for requirement in map(Requirement, texts):
            needed = canonicalize_name(requirement.name)
            applies = requirement.marker is None or requirement.marker.evaluate(environment)
            if applies and needed in PINNED:
                assert requirement.specifier.contains(PINNED[needed], prereleases=True), (
                    f"{name} {version}: {requirement}"
                )


def test_version_is_one_and_in_the_changelog():
    assert PROJECT["dynamic"] == ["version"]
    assert f"## {unlearnkit.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == unlearnkit.__version__
    assert citation["license"] == PROJECT["license"] == "Apache-2.0"


def test_licence_is_whole():
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text


def test_continuous_integration_runs_what_people_run():
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & stat.S_IXUSR
    text = script.read_text(encoding="utf-8")
    assert "set -euo pipefail" in text
    assert text.strip().splitlines()[-1] == "make test"


def dry_run(*arguments):
    command = ["make", "--dry-run", "--always-make", "VENV=/nowhere/venv", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_quickstart_installs_the_core_alone_at_known_versions():
    commands = dry_run("quickstart")
    assert re.search(r"pip install .*-c constraints.txt -e \.$", commands, re.MULTILINE)
    assert "compare --config tofu/quickstart.yaml" in commands
    assert "[notebook" not in commands


def test_make_test_installs_every_extra_and_checks_style_types_and_tests():
    commands = dry_run("test")
    installed = re.search(r"-e '\.\[(.*)\]'", commands)[1].split(",")
    assert set(installed) == set(EXTRAS) - UNTESTED
    order = [commands.index(word) for word in ("ruff check", "ruff format --check", "bin/mypy", "-m pytest")]
    assert order == sorted(order)


def test_make_help_lists_the_targets():
    done = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    for target in ("quickstart", "test", "lint", "lab", "venv", "install", "help"):
        assert f"make {target} " in done.stdout


def test_wheel_has_the_yaml_and_the_types():
    package = ROOT / "unlearnkit"
    assert (package / "py.typed").exists()
    assert list((package / "configs").rglob("*.yaml"))
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").split()
    # Hatchling leaves out what git ignores.
    assert not {"*.yaml", "py.typed", "configs/"} & set(ignored)
