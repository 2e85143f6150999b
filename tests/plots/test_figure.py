"""Figures as bytes and files: whole, without dates, of our width."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import matplotlib.pyplot as plt
import pytest

from unlearnkit.plots import file_axes, file_grid, notebook_axes, render, save


def drawn() -> object:
    axes = file_axes()
    axes.plot([0, 1], [1, 0])
    return axes


def test_both_forms_are_written_and_whole(tmp_path: Path) -> None:
    paths = save(drawn(), tmp_path / "new" / "figure")
    assert [path.name for path in paths] == ["figure.png", "figure.svg"]
    assert paths[0].read_bytes().endswith(b"IEND\xaeB`\x82")
    assert ElementTree.parse(paths[1]).getroot().tag.endswith("svg")
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["figure.png", "figure.svg"]


@pytest.mark.parametrize("form", ["png", "svg"])
def test_the_same_figure_is_the_same_file(form: str) -> None:
    assert render(drawn(), form) == render(drawn(), form)


def test_a_stem_with_a_dot_keeps_it(tmp_path: Path) -> None:
    assert save(drawn(), tmp_path / "gdiff0.5", forms=["png"])[0].name == "gdiff0.5.png"


def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "figure.png"
    path.write_bytes(b"old")

    def full(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="disk full"):
        save(drawn(), tmp_path / "figure", forms=["png"])
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("figure.png", b"old")]


def test_only_notebook_axes_are_pyplot_s() -> None:
    before = plt.get_fignums()
    file_axes()
    assert plt.get_fignums() == before
    axes = notebook_axes(2.5)
    assert plt.get_fignums() != before
    assert tuple(axes.figure.get_size_inches()) == (6.0, 2.5)
    plt.close(axes.figure)


def test_axes_of_a_subfigure_render_the_whole_figure() -> None:
    figure = plt.figure()
    axes = figure.subfigures(1, 2)[0].add_subplot()
    assert render(axes).startswith(b"\x89PNG")
    plt.close(figure)


def test_a_grid_has_its_axes_row_by_row_and_pyplot_does_not_know_it() -> None:
    before = plt.get_fignums()
    axes = file_grid(2, 3, 5.0)
    assert len(axes) == 6 and plt.get_fignums() == before
    assert tuple(axes[0].figure.get_size_inches()) == (6.0, 5.0)
    axes[0].figure.canvas.draw()
    assert axes[0].get_position().y0 == axes[2].get_position().y0 > axes[3].get_position().y0
    assert render(axes[4]).startswith(b"\x89PNG")
