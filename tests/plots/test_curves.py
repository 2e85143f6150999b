"""Curves over rounds, by the artists they draw."""

from __future__ import annotations

import math

import numpy as np
import pytest

from unlearnkit.errors import ConfigurationError
from unlearnkit.plots import ROLES, curves, file_axes


def test_each_name_is_a_line_with_its_values() -> None:
    axes = curves([0, 5, 10], {"retain": [1, 2, 3], "forget": [3, 2, 1]}, file_axes(), "loss (nats)", "down")
    assert [line.get_gid() for line in axes.lines] == ["curve:retain", "curve:forget"]
    assert list(axes.lines[1].get_xdata()) == [0, 5, 10]
    assert list(axes.lines[1].get_ydata()) == [3, 2, 1]
    assert axes.lines[0].get_color() != axes.lines[1].get_color()
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("round", "loss (nats) (← lower is better)")


def test_a_role_has_its_color() -> None:
    axes = curves([0], {"retrained": [1.0], "npo": [2.0]}, file_axes())
    assert axes.lines[0].get_color() == ROLES["retrained"].color
    assert axes.get_ylabel() == ""


def test_values_that_are_not_finite_leave_a_gap_and_are_counted() -> None:
    axes = curves([0, 1, 2, 3], {"forget": [1.0, None, math.inf, 2.0]}, file_axes())
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), [1.0, math.nan, math.nan, 2.0])
    assert axes.get_legend().get_texts()[0].get_text() == "forget (2 of 4 not finite)"


def test_an_uneven_line_is_refused_with_both_lengths() -> None:
    with pytest.raises(ConfigurationError, match=r"`values\['forget'\]`.*1 values for 2 rounds.*None"):
        curves([0, 1], {"forget": [1.0]}, file_axes())


def test_nothing_to_draw_makes_empty_axes() -> None:
    axes = curves([], {}, file_axes())
    assert not axes.lines and axes.get_legend() is None


def test_legend_and_labels_stay_on_the_canvas() -> None:
    axes = curves(
        [0, 1], {"a rather long name of a method": [0, 1]}, file_axes(3.2), "loss a token (nats)", "down"
    )
    axes.figure.canvas.draw()
    for artist in (axes.get_legend(), axes.yaxis.label, axes.xaxis.label):
        box, canvas = artist.get_window_extent(), axes.figure.bbox
        assert canvas.x0 <= box.x0 and box.x1 <= canvas.x1 and canvas.y0 <= box.y0 and box.y1 <= canvas.y1
