"""Notebook pairs: ``NN_name.py`` is what people edit, ``NN_name.ipynb`` beside it what learners open.

python -m unlearnkit.testing.pairs build [FILE ...]     execute and write the notebooks
python -m unlearnkit.testing.pairs student FOLDER [FILE ...]    write the versions without solutions
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from unlearnkit.artifacts import atomic_write_text
from unlearnkit.errors import ConfigurationError, DataNotFoundError, MissingDependencyError

FOLDERS = ("tutorials", "notebooks")
"""Where sources are looked for when none is named, below the present folder."""

TIMEOUT = 300
"""Seconds a cell may take while it is built; the tests allow 120."""

KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
KEPT_CELL_METADATA = ("tags",)
SOLUTION = re.compile(r"^([ \t]*)### BEGIN SOLUTION\n.*?^[ \t]*### END SOLUTION$", re.M | re.S)
EXERCISE = re.compile(r"\bexercise\s+(\d+)", re.I)


def sources(files: Sequence[str] = ()) -> list[Path]:
    """Return the named ``.py`` sources, or all numbered and lab ones.

    Raises:
        DataNotFoundError: A named one is not there, or there is none at all.
    """
    found = [Path(name).with_suffix(".py") for name in files]
    missing = [str(path) for path in found if not path.is_file()]
    if missing:
        raise DataNotFoundError(
            f"`FILE` must name a notebook's source. Found no {missing[0]}. Check the path."
        )
    if not found:
        found = sorted(p for folder in FOLDERS for p in Path(folder).glob("[0-9L]*_*.py"))
    if not found:
        raise DataNotFoundError(
            f"There must be sources NN_name.py under {' or '.join(FOLDERS)}. Found none in {Path.cwd().name}. "
            "Run this in the repository's root."
        )
    return found


def read_source(path: Path) -> Any:
    """Return a source as a notebook without outputs, in normal form.

    Raises:
        MissingDependencyError: jupytext is not installed.
    """
    try:
        import jupytext
    except ImportError as error:
        raise MissingDependencyError.extra("jupytext", "notebook") from error
    return normalised(jupytext.read(path))


def normalised(notebook: Any) -> Any:
    """Bring a notebook into the one form: cell ids by place, kernel ``python3``, no timings, no widget state."""
    notebook.metadata = _node({"kernelspec": KERNEL, "language_info": {"name": "python"}})
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    for place, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{place:02d}"
        kept = {name: cell.metadata[name] for name in KEPT_CELL_METADATA if name in cell.metadata}
        cell.metadata = _node(kept)
        for output in cell.get("outputs", []):
            output.pop("transient", None)
            if "data" in output:
                output["data"] = {
                    kind: value for kind, value in output["data"].items() if "widget" not in kind
                }
    return notebook


def _node(content: dict[str, Any]) -> Any:
    import nbformat

    return nbformat.from_dict(content)  # type: ignore[no-untyped-call]


def execute(notebook: Any, folder: Path) -> Any:
    """Run all cells in a fresh kernel whose working folder is the notebook's, and return it with its outputs.

    Raises:
        CellExecutionError: A cell failed (nbclient's own error, which shows the cell).
    """
    import nbclient

    os.environ.update({"OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0", "COLUMNS": "100", "NO_COLOR": "1"})
    client = nbclient.NotebookClient(
        notebook,
        timeout=TIMEOUT,
        kernel_name=KERNEL["name"],
        resources={"metadata": {"path": str(folder)}},
        record_timing=False,
        coalesce_streams=True,
    )
    return normalised(client.execute())


def write(notebook: Any, path: Path) -> None:
    """Write a notebook whole or not at all."""
    import nbformat

    nbformat.validate(notebook)
    atomic_write_text(path, nbformat.writes(notebook) + "\n")  # type: ignore[no-untyped-call]


def build(files: Sequence[str] = ()) -> list[Path]:
    """Execute sources and write the notebook beside each; one that fails keeps its old notebook.

    Returns:
        The notebooks written.
    """
    written = []
    for source in sources(files):
        started = time.perf_counter()
        notebook = execute(read_source(source), source.parent.resolve())
        write(notebook, source.with_suffix(".ipynb"))
        written.append(source.with_suffix(".ipynb"))
        print(f"{source.with_suffix('.ipynb')}: {time.perf_counter() - started:.0f} s")
    return written


def without_solutions(text: str, exercise: str = "") -> str:
    r"""Replace each marked solution by an error that names the exercise.

    >>> print(without_solutions('def f(x):\n    ### BEGIN SOLUTION\n    return x\n    ### END SOLUTION', "2"))
    def f(x):
        # your lines here
        raise NotImplementedError("exercise 2 is not written yet")
    """
    name = f"exercise {exercise}" if exercise else "this exercise"
    return SOLUTION.sub(
        lambda found: (
            f'{found[1]}# your lines here\n{found[1]}raise NotImplementedError("{name} is not written yet")'
        ),
        text,
    )


def student(folder: str | Path, files: Sequence[str] = ()) -> list[Path]:
    """Write every notebook without solutions and outputs into another folder.

    Returns:
        The notebooks written.

    Raises:
        ConfigurationError: The folder is where the sources are.
    """
    target = Path(folder)
    written = []
    for source in sources(files):
        if target.resolve() == source.parent.resolve():
            raise ConfigurationError(
                f"`FOLDER` must not be where the notebooks with solutions are. Found {folder}. Use e.g. student."
            )
        notebook = read_source(source)
        number = ""
        for cell in notebook.cells:
            named = EXERCISE.findall(cell.source)
            number = named[-1] if named else number
            if cell.cell_type == "code":
                cell.source = without_solutions(cell.source, number)
        path = target / source.parent.name / source.with_suffix(".ipynb").name
        path.parent.mkdir(parents=True, exist_ok=True)
        write(notebook, path)
        written.append(path)
        print(path)
    return written


def main(arguments: Iterable[str] | None = None) -> int:
    """Run the command line above."""
    parser = argparse.ArgumentParser(prog="python -m unlearnkit.testing.pairs")
    commands = parser.add_subparsers(dest="command", required=True)
    building = commands.add_parser("build", help="execute the sources and write the notebooks beside them")
    building.add_argument("files", nargs="*", metavar="FILE")
    stripping = commands.add_parser("student", help="write the versions without solutions")
    stripping.add_argument("folder", metavar="FOLDER")
    stripping.add_argument("files", nargs="*", metavar="FILE")
    given = parser.parse_args(None if arguments is None else list(arguments))
    if given.command == "build":
        build(given.files)
    else:
        student(given.folder, given.files)
    return 0


if __name__ == "__main__":
    sys.exit(main())
