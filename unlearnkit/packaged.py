"""Packaged YAML by name: ``tofu/ngdiff.yaml`` works in any folder, for every command and in Python.

Standard library only: the command line reads it before anything heavy is imported.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from unlearnkit.errors import DataNotFoundError, UnknownNameError

CONFIGS = Path(__file__).parent / "configs"
OPTIONS = ("--config", "-c")
SUFFIXES = (".yaml", ".yml", ".json")


def config_names() -> list[str]:
    """Return the names of all packaged YAML files that ``--config`` may name, sorted.

    Those under ``trainer/`` hold nothing but trainer settings, to be stacked after a run's own YAML. Those under
    ``shapes/`` are data, read by ``unlearnkit.models.shapes``: none of these.

    >>> "tofu/ngdiff.yaml" in config_names(), "trainer/eight_gpus.yaml" in config_names()
    (True, True)
    """
    names = (path.relative_to(CONFIGS).as_posix() for path in CONFIGS.rglob("*.yaml"))
    return sorted(name for name in names if not name.startswith("shapes/"))


def diffusion_shape_names() -> list[str]:
    """Return the names of the packaged networks that draw images, sorted.

    >>> "dit-xl-2-256" in diffusion_shape_names()
    True
    """
    return sorted(
        path.name.removesuffix(".yaml") for path in (CONFIGS / "shapes" / "diffusion").glob("*.yaml")
    )


def shape_names() -> list[str]:
    """Return the names of the packaged language models' architectures, sorted.

    >>> "llama-3.2-1b" in shape_names()
    True
    """
    return sorted(path.name.removesuffix(".yaml") for path in (CONFIGS / "shapes").glob("*.yaml"))


def summary_of(name: str) -> str:
    """Return the first comment of a packaged file, which says what it is.

    >>> summary_of("tofu/ngdiff.yaml").split(":")[0]
    'NGDiff'
    """
    first = (CONFIGS / name).read_text(encoding="utf-8").partition("\n")[0]
    return first.lstrip("# ").rstrip() if first.startswith("#") else ""


def method_names() -> list[str]:
    """Return the names of the packaged methods, without suffix: files that set up an UnlearningModule."""
    texts = {name: (CONFIGS / name).read_text(encoding="utf-8") for name in config_names()}
    return [
        name.removesuffix(".yaml") for name, text in texts.items() if "class_path: UnlearningModule" in text
    ]


def find_config(value: str) -> str:
    """Return what ``--config`` should read: the path as given if it exists, else the packaged file of that name.

    Args:
        value: A path, a packaged name with or without suffix, or the YAML itself.

    Raises:
        UnknownNameError: It is neither; the message lists the packaged names.
        DataNotFoundError: An absolute or relative path (``./``, ``../``, ``/``) leads nowhere.
    """
    if "\n" in value or "{" in value or Path(value).is_file():
        return value
    for name in (value, f"{value}.yaml"):
        if name in config_names():
            return str(CONFIGS / name)
    if value.startswith((".", "/", "~")):
        raise DataNotFoundError(
            f"`--config` must be a file that exists or a packaged name. Found {value!r}, where nothing is. "
            "Check the path; `unlearnkit list configs` shows the packaged names."
        )
    raise UnknownNameError.among("--config", value, config_names())


def resolve_configs(arguments: Sequence[str]) -> list[str]:
    """Replace packaged names after ``--config`` by their paths, in both forms of writing.

    >>> resolve_configs(["fit", "--config=tofu/ngdiff.yaml"])[1].endswith("configs/tofu/ngdiff.yaml")
    True
    """
    resolved = list(arguments)
    for position, argument in enumerate(resolved):
        option, equals, value = argument.partition("=")
        if option in OPTIONS and equals:
            resolved[position] = f"{option}={find_config(value)}"
        elif argument in OPTIONS and position + 1 < len(resolved):
            resolved[position + 1] = find_config(resolved[position + 1])
    return resolved


def run_name(arguments: Sequence[str]) -> str:
    """Return the name of a run's folder: that of its last configuration, as it was written.

    A packaged trainer setting says where a run happens, not which it is, and is passed over.

    >>> run_name(["fit", "--config", "tofu/ngdiff.yaml", "--config", "my/own.yaml"])
    'my/own'
    >>> run_name(["fit", "--config", "tofu/ngdiff.yaml", "--config", "trainer/eight_gpus.yaml"])
    'tofu/ngdiff'
    >>> run_name(["fit", "--config=/data/a.yaml"]), run_name(["fit", "--model=X"])
    ('a', 'unlearnkit')
    """
    pairs = zip(arguments, [*arguments[1:], ""], strict=True)
    found = [b if a in OPTIONS else a.partition("=")[2] for a, b in pairs if a.partition("=")[0] in OPTIONS]
    found = [value for value in found if not _is_trainer_setting(value)] or found
    if not found or not found[-1] or "\n" in found[-1] or "{" in found[-1]:
        return "unlearnkit"
    path = Path(found[-1]).with_suffix("")
    plain = not path.is_absolute() and ".." not in path.parts
    return path.as_posix() if plain else path.name


def _is_trainer_setting(value: str) -> bool:
    name = f"{value.removesuffix('.yaml')}.yaml"
    return name.startswith("trainer/") and name in config_names()
