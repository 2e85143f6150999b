"""The palette: distinct styles, also under simulated colour blindness, and defaults that are put back."""

from __future__ import annotations

from itertools import combinations

import matplotlib as mpl
import numpy as np
import pytest

from unlearnkit.plots.palette import FIGURE_WIDTH, ROLES, figure_defaults, figure_style, method_styles

# Machado, Oliveira and Fernandes (2009), severity 1.0, on linear RGB.
VISIONS = {
    "trichromat": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.01182, 0.04294, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.3039],
    ],
}
XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.072175], [0.0193339, 0.119192, 0.9503041]]
)


def linear(color: str) -> np.ndarray:
    coded = np.array([int(color[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    return np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4)


def lab(color: str, vision: object) -> np.ndarray:
    seen = np.clip(np.array(vision) @ linear(color), 0, 1)
    x, y, z = np.where(
        (t := XYZ @ seen / np.array([0.95047, 1.0, 1.08883])) > 0.008856, np.cbrt(t), 7.787 * t + 16 / 116
    )
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def colors() -> list[str]:
    methods = [style.color for style in method_styles(map(str, range(8))).values()]
    return [*methods, ROLES["target"].color, ROLES["retrained"].color]


@pytest.mark.parametrize("vision", VISIONS)
def test_eight_methods_and_two_roles_stay_apart_for_every_vision(vision: str) -> None:
    seen = {color: lab(color, VISIONS[vision]) for color in colors()}
    assert len(seen) == 10
    nearest = min((np.linalg.norm(seen[a] - seen[b]), a, b) for a, b in combinations(seen, 2))
    assert nearest[0] > 15, nearest  # just noticeable is about 2.3


def test_every_color_is_seen_on_white() -> None:
    contrast = {color: 1.05 / ((XYZ @ linear(color))[1] + 0.05) for color in colors()}
    assert min(contrast.values()) > 2, contrast


def test_thirty_methods_have_thirty_styles() -> None:
    styles = method_styles(f"m{number}" for number in range(30))
    assert len(set(styles.values())) == 30


def test_eight_methods_have_eight_markers_none_a_role_s() -> None:
    markers = {style.marker for style in method_styles(map(str, range(8))).values()}
    assert len(markers) == 8
    assert not markers & {ROLES["target"].marker, ROLES["retrained"].marker}


def test_a_method_named_twice_has_one_style() -> None:
    assert list(method_styles(["a", "b", "a"])) == ["a", "b"]


def test_no_font_is_under_nine_points_and_figures_are_six_inches_wide() -> None:
    defaults = figure_defaults()
    sizes = [
        value
        for key, value in defaults.items()
        if key.endswith(("labelsize", "fontsize", "font.size", "titlesize"))
    ]
    assert len(sizes) == 6
    assert min(sizes) >= 9
    assert defaults["figure.figsize"][0] == FIGURE_WIDTH == 6.0


def test_the_defaults_hold_inside_and_are_put_back_after_an_error() -> None:
    before = dict(mpl.rcParams)
    with figure_style():
        assert mpl.rcParams["legend.fontsize"] == 9.0
    with pytest.raises(ZeroDivisionError), figure_style():
        1 / 0  # noqa: B018
    assert dict(mpl.rcParams) == before
