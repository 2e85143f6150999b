"""GeN's picture, by the artists it draws."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes

from unlearnkit.errors import ConfigurationError
from unlearnkit.gradients.parabola import fit_parabola
from unlearnkit.plots import file_axes, parabola

R = [-1.0, 0.0, 1.0]


def draw(minus: float, centre: float, plus: float) -> Axes:
    return parabola(R, [minus, centre, plus], fit_parabola(minus, centre, plus), file_axes())


def line(axes: Axes, gid: str) -> Any:
    (found,) = [line for line in axes.lines if line.get_gid() == gid]
    return found


def verdict(axes: Axes) -> str:
    return axes.get_legend().get_texts()[-1].get_text()


def test_the_curve_goes_through_the_three_points() -> None:
    axes = draw(2.0, 1.0, 0.5)
    points, curve = line(axes, "points"), line(axes, "fit")
    assert list(points.get_xdata()) == R
    assert list(points.get_ydata()) == [2.0, 1.0, 0.5]
    np.testing.assert_allclose(np.interp(R, curve.get_xdata(), curve.get_ydata()), [2.0, 1.0, 0.5], atol=1e-3)


def test_the_minimum_is_starred_where_the_curve_is_lowest() -> None:
    axes = draw(2.0, 1.0, 0.5)
    star, curve = line(axes, "minimum"), line(axes, "fit")
    assert star.get_xdata()[0] == pytest.approx(1.5)
    assert star.get_ydata()[0] == pytest.approx(min(curve.get_ydata()), abs=1e-4)
    assert verdict(axes) == "r* = G/h = 1.5"
    assert axes.get_xlim()[0] < -1 and axes.get_xlim()[1] > 1.5


def test_a_far_minimum_is_named_and_not_drawn() -> None:
    axes = draw(1.1, 1.0, 0.92)
    assert not len(line(axes, "minimum").get_xdata())
    assert verdict(axes) == "r* = G/h = 4.5 (beyond the edge)"
    assert axes.get_xlim()[1] < 1.5


@pytest.mark.parametrize(
    ("losses", "words"),
    [
        ((0.5, 1.0, 0.3), "refused: h ≤ 0, no minimum"),
        ((0.0, 1.0, 4.0), "refused: G ≤ 0, the loss rises along u"),
        ((math.nan, 1.0, 0.5), "refused: a loss is not finite"),
        ((1.0, 1.0, math.inf), "refused: a loss is not finite"),
    ],
)
def test_a_refused_fit_says_why_and_has_no_minimum(losses: tuple[float, float, float], words: str) -> None:
    axes = draw(*losses)
    assert verdict(axes) == words
    assert not len(line(axes, "minimum").get_xdata())
    axes.figure.canvas.draw()


def test_labels_say_what_is_better() -> None:
    axes = draw(2.0, 1.0, 0.5)
    assert "lower is better" in axes.get_ylabel()
    assert "displacement" in axes.get_xlabel()


@pytest.mark.parametrize(("r", "losses"), [([-1, 0, 1], [1.0, 2.0]), ([0], [1.0]), ([], [])])
def test_uneven_input_is_refused(r: list[float], losses: list[float]) -> None:
    with pytest.raises(ConfigurationError, match="`r` and `losses` must be equally long, two or more"):
        parabola(r, losses, fit_parabola(2.0, 1.0, 0.5), file_axes())
