"""Notebooks are built from their sources, whole or not at all, and students get them without solutions."""

from __future__ import annotations

import nbformat
import pytest

from unlearnkit.errors import ConfigurationError, DataNotFoundError
from unlearnkit.testing.pairs import build, main, read_source, sources, student, without_solutions

SOURCE = '''# %% [markdown]
# # 00  Does it work?
#
# **Exercise 1 (code).** Add one.

# %%
from unlearnkit.testing.exercise import Case, check


def add_one(x):
    """Return x + 1."""
    ### BEGIN SOLUTION
    result = x + 1
    return result
    ### END SOLUTION


# %%
check(add_one, Case((1,), 2, "One more."))

# %% tags=["nbval-ignore-output"]
print("one")
print("two")
'''


@pytest.fixture
def source(tmp_path, monkeypatch):
    folder = tmp_path / "notebooks"
    folder.mkdir()
    path = folder / "00_try.py"
    path.write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    return path


def test_build_executes_and_normalises(source):
    assert main(["build"]) == 0
    notebook = nbformat.read(source.with_suffix(".ipynb"), 4)
    assert [cell.id for cell in notebook.cells] == ["cell-00", "cell-01", "cell-02", "cell-03"]
    assert notebook.metadata == {
        "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    assert notebook.cells[2].outputs[0].text == "ok: 1 check\n"
    assert notebook.cells[3].metadata == {"tags": ["nbval-ignore-output"]}
    assert [output.text for output in notebook.cells[3].outputs] == ["one\ntwo\n"]
    first = source.with_suffix(".ipynb").read_bytes()
    build([str(source)])
    assert source.with_suffix(".ipynb").read_bytes() == first, "built again it is the same file"


def test_a_failing_cell_keeps_the_old_notebook(source):
    from nbclient.exceptions import CellExecutionError

    source.with_suffix(".ipynb").write_text("old")
    source.write_text("# %%\n1 / 0\n")
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        build([str(source)])
    assert source.with_suffix(".ipynb").read_text() == "old"
    assert {path.name for path in source.parent.iterdir()} == {"00_try.ipynb", "00_try.py"}


def test_students_get_no_solution(source, capsys):
    assert main(["student", "given"]) == 0
    assert capsys.readouterr().out.strip() == "given/notebooks/00_try.ipynb"
    text = (source.parents[1] / "given/notebooks/00_try.ipynb").read_text()
    assert "SOLUTION" not in text and "result = x + 1" not in text
    assert "exercise 1 is not written yet" in text
    assert "Return x + 1." in text, "what is around it stays"


def test_a_solution_is_replaced_at_its_depth():
    nested = "if a:\n    ### BEGIN SOLUTION\n    b()\n\n    c()\n    ### END SOLUTION\nelse:\n    d()"
    assert without_solutions(nested) == (
        "if a:\n    # your lines here\n"
        '    raise NotImplementedError("this exercise is not written yet")\nelse:\n    d()'
    )


def test_where_sources_are_looked_for(source, tmp_path):
    (source.parent / "build.py").write_text("")
    assert sources() == [source.relative_to(tmp_path)]
    assert sources(["notebooks/00_try.ipynb"]) == [source.relative_to(tmp_path)], "named by the notebook"
    with pytest.raises(DataNotFoundError, match="Found no nothing.py"):
        sources(["nothing.py"])
    source.unlink()
    with pytest.raises(DataNotFoundError, match="Run this in the repository's root"):
        sources()


def test_students_do_not_overwrite(source):
    with pytest.raises(ConfigurationError, match="`FOLDER` must not be where"):
        student("notebooks")


def test_source_and_tags(source):
    cells = read_source(source).cells
    assert [cell.cell_type for cell in cells] == ["markdown", "code", "code", "code"]
    assert cells[3].metadata.tags == ["nbval-ignore-output"]
