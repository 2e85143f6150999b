"""Every notebook is a pair that has not drifted, is clean to look at, has the form of TEACHING, and a student version.

Whether its cells still give what is stored, nbval says (``make test`` runs it after these).
"""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest

from unlearnkit.testing.pairs import execute, read_source, sources, student

ROOT = Path(__file__).resolve().parents[1]
SOURCES = [
    path for folder in ("tutorials", "notebooks") for path in sorted((ROOT / folder).glob("[0-9L]*_*.py"))
]
NAMES = [path.stem for path in SOURCES]
LABS = [path for path in SOURCES if path.parent.name == "notebooks"]

UNCLEAN = {
    "a stored path": r"(?<![\w.])/(?:home|root|tmp|work|Users|usr|opt|var|mnt)/\S+|[A-Z]:\\\\Users",
    "a timing": r"\d ?it/s|\d+(?:\.\d+)? ?(?:seconds|ms)\b|\d\d:\d\d:\d\d",
    "an address": r"0x[0-9a-f]{6,}",
    "a traceback": r"Traceback \(most recent call last\)",
    "a warning": r"\w*Warning\b",
    "a version": r"version_\d+",
}


@pytest.fixture(params=SOURCES, ids=NAMES)
def source(request):
    return request.param


@pytest.fixture
def notebook(source):
    return nbformat.read(source.with_suffix(".ipynb"), 4)


def texts(cell):
    """Give everything textual that a cell's stored outputs show."""
    for output in cell.get("outputs", []):
        if output.output_type == "stream":
            yield output.text
        elif output.output_type == "error":
            yield "\n".join([output.ename, output.evalue, *output.traceback])
        else:
            yield from (str(value) for kind, value in output.data.items() if kind.startswith("text/"))


def figures(notebook):
    return sum("image/png" in o.get("data", {}) for cell in notebook.cells for o in cell.get("outputs", []))


def test_there_is_a_course():
    assert {"tutorials", "notebooks"} == {path.parent.name for path in SOURCES}
    lonely = [p.name for p in ROOT.glob("*/[0-9L]*_*.ipynb") if not p.with_suffix(".py").is_file()]
    assert lonely == [], "notebooks without a source"


def test_the_pair_has_not_drifted(source, notebook):
    def content(cells):
        return [(cell.id, cell.cell_type, cell.source, cell.metadata) for cell in cells]

    stored, written = content(notebook.cells), content(read_source(source).cells)
    assert stored == written, f"run: make notebooks NOTEBOOKS={source.relative_to(ROOT)}"
    assert notebook.metadata == read_source(source).metadata


def test_it_was_run_from_top_to_bottom(notebook):
    counts = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1))


def test_stored_outputs_are_clean(notebook):
    assert "widgets" not in notebook.metadata
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            assert output.output_type != "error", cell.source
            assert output.get("name") != "stderr", f"{cell.source}\nwrote: {output.text}"
            assert not any("widget" in kind for kind in output.get("data", {})), cell.source
        for text in texts(cell):
            for what, pattern in UNCLEAN.items():
                found = re.search(pattern, text)
                assert found is None, f"{what}: {found[0]!r} in the output of\n{cell.source}"


def test_it_has_the_form(source, notebook):
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    assert 20 <= len(notebook.cells) <= 40
    for cell in code[1:]:  # the first one imports
        assert len([line for line in cell.source.splitlines() if line.strip()]) <= 15, cell.source
    assert 1 <= figures(notebook) <= 8
    title, *_ = notebook.cells[0].source.splitlines()
    assert re.fullmatch(rf"# {source.stem.split('_')[0]}  ?.+\?", title), title
    assert re.search(r"^> .*minutes", notebook.cells[0].source + notebook.cells[1].source, re.M | re.I), (
        "no box"
    )
    assert "set_up(seed=" in code[0].source
    assert re.search(r"^## .*references", prose, re.M | re.I)


def test_exercises_have_checks(notebook):
    cells = notebook.cells
    prose = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    assert len(set(re.findall(r"\*\*Exercise (\d+)", prose))) >= 3
    solved = [place for place, cell in enumerate(cells) if "### BEGIN SOLUTION" in cell.source]
    assert solved, "no code exercise"
    for place in solved:
        following = cells[place].source + "".join(cell.source for cell in cells[place + 1 : place + 3])
        assert "check(" in following, cells[place].source
    said = [text for cell in cells if re.search(r"\bcheck\(", cell.source) for text in texts(cell)]
    assert said, "no check printed anything"
    assert all("not yet" not in text for text in said), said
    assert any(text.startswith("ok: ") for text in said), said


def test_measured_tables_are_followed_by_claims(notebook):
    """A cell whose output is not compared proves nothing: an assert must come after it."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for place, cell in enumerate(cells):
        if "nbval-ignore-output" in cell.metadata.get("tags", []) and any(texts(cell)):
            following = "".join(later.source for later in [cell, *cells[place + 1 : place + 4]])
            assert re.search(r"\bassert\b|assert_close|check\(", following), cell.source


def test_students_versions_have_no_solutions(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    written = student(tmp_path / "student")
    assert len(written) == len(SOURCES) == len(sources())
    for path in written:
        text = path.read_text()
        assert "SOLUTION" not in text
        assert re.search(r"exercise \d+ is not written yet", text), f"{path.name} names no exercise"


@pytest.mark.slow
@pytest.mark.parametrize("lab", LABS, ids=[path.stem for path in LABS])
def test_a_labs_student_version_runs_to_its_first_exercise(lab, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    (path,) = student(tmp_path / "student", [str(lab.relative_to(ROOT))])
    notebook = nbformat.read(path, 4)
    first = next(place for place, cell in enumerate(notebook.cells) if "NotImplementedError" in cell.source)
    checked = next(p for p in range(first, len(notebook.cells)) if "check(" in notebook.cells[p].source)
    notebook.cells = notebook.cells[: checked + 1]
    ran = execute(notebook, lab.parent)
    last = "".join(texts(ran.cells[-1]))
    assert re.search(r"not yet \(check 1 of \d+\): exercise \d+ is not written yet", last), last
