"""Numbers over rounds, by the artists they draw: means, bands, the reference, what is not finite."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from unlearnkit.errors import UnknownNameError
from unlearnkit.plots import ROLES, file_axes, over_rounds
from unlearnkit.testing.results import made_up_results

KEY = "forget_accuracy"


def results(**methods: list[list[tuple[int, Any]]]) -> dict[str, Any]:
    """Return results from ``method -> seeds -> (round, value)``; the retrained reference has 0.4 and 0.6."""
    rows: list[dict[str, Any]] = [
        {"role": "retrained", "method": "retrained", "seed": seed, "summary": {KEY: value}}
        for seed, value in enumerate((0.4, 0.6))
    ]
    for name, seeds in methods.items():
        for seed, path in enumerate(seeds):
            points = [{"round": at, KEY: value} for at, value in path]
            rows.append(
                {"role": "method", "method": name, "label": name.upper(), "seed": seed, "path": points}
            )
    return {"evaluation": "classification", "rows": rows}


TWO = results(
    ga=[[(0, 1.0), (5, 0.8), (10, 0.2)], [(0, 1.0), (5, 0.4), (10, 0.0)]], ft=[[(0, 1.0), (10, 0.9)]]
)


def artists(axes: Any) -> dict[str, Any]:
    return {artist.get_gid(): artist for artist in (*axes.lines, *axes.collections, *axes.patches)}


def test_the_line_is_the_mean_over_seeds_and_the_band_one_deviation_to_each_side() -> None:
    found = artists(over_rounds(TWO, KEY, file_axes()))
    assert list(found["mean:ga"].get_xdata()) == [0, 5, 10]
    assert list(found["mean:ga"].get_ydata()) == pytest.approx([1.0, 0.6, 0.1])
    corners = found["band:ga"].get_paths()[0].vertices
    at_five = sorted({round(y, 6) for x, y in corners if x == 5})
    assert at_five == pytest.approx([0.6 - np.std([0.8, 0.4], ddof=1), 0.6 + np.std([0.8, 0.4], ddof=1)])


def test_one_seed_has_no_band() -> None:
    found = artists(over_rounds(TWO, KEY, file_axes()))
    assert list(found["mean:ft"].get_ydata()) == [1.0, 0.9] and "band:ft" not in found


def test_the_retrained_reference_is_a_dashed_line_with_its_band() -> None:
    found = artists(over_rounds(TWO, KEY, file_axes()))
    line = found["retrained"]
    assert list(line.get_ydata()) == pytest.approx([0.5, 0.5]) and line.get_linestyle() == "--"
    assert line.get_color() == ROLES["retrained"].color
    box = (
        found["band:retrained"].get_window_extent().transformed(found["retrained"].axes.transData.inverted())
    )
    width = np.std([0.4, 0.6], ddof=1)
    assert (box.y0, box.y1) == pytest.approx((0.5 - width, 0.5 + width))


def test_rounds_that_a_seed_does_not_have_are_left_out_and_lost_points_are_counted() -> None:
    given = results(ga=[[(0, 1.0), (5, 0.5), (10, 0.2)], [(0, 1.0), (5, None), (10, math.nan)]])
    axes = over_rounds(given, KEY, file_axes())
    assert list(artists(axes)["mean:ga"].get_xdata()) == [0]
    assert axes.get_legend().get_texts()[1].get_text() == "GA\n(2 points not finite)"


def test_a_method_looks_the_same_whichever_are_drawn() -> None:
    both, one = (artists(over_rounds(TWO, KEY, file_axes(), chosen)) for chosen in (None, ["ft"]))
    assert "mean:ga" not in one and one["mean:ft"].get_color() == both["mean:ft"].get_color()
    assert one["mean:ft"].get_marker() == both["mean:ft"].get_marker()


def test_an_unknown_method_is_named() -> None:
    with pytest.raises(
        UnknownNameError, match="`methods` must be one of: ft, ga. Found 'gaa'. Did you mean 'ga'"
    ):
        over_rounds(TWO, KEY, file_axes(), ["ft", "gaa"])


def test_without_a_reference_there_is_no_line_for_it() -> None:
    given = TWO | {"rows": [row for row in TWO["rows"] if row["role"] == "method"]}
    assert "retrained" not in artists(over_rounds(given, KEY, file_axes()))


@pytest.mark.parametrize("values", [(0.99, 1.0), (0.0, 0.01), (0.5, 0.52), (0.0, 1.0)])
def test_axes_keep_to_fractions_and_do_not_zoom_into_noise(values: tuple[float, float]) -> None:
    given = results(ft=[[(0, values[0]), (10, values[1])]])
    given["rows"] = given["rows"][2:]
    low, high = over_rounds(given, KEY, file_axes()).get_ylim()
    assert low >= -0.031 and high <= 1.031 and high - low >= 0.2 - 1e-9
    assert low <= min(values) and max(values) <= high


def test_labels_and_legend_stay_on_the_canvas() -> None:
    given = results(a_rather_long_name_of_a_method=[[(0, 1.0), (10, 0.5)]])
    for row in given["rows"]:
        row["path"] = [{"mia_entropy_member_rate": 0.5, "round": 3}]
    axes = over_rounds(given, "mia_entropy_member_rate", file_axes(2.4))
    axes.figure.canvas.draw()
    assert axes.get_ylabel() == "MIA, called members\n(entropy)"
    for artist in (axes.get_legend(), axes.yaxis.label, axes.xaxis.label):
        box, canvas = artist.get_window_extent(), axes.figure.bbox
        assert canvas.x0 <= box.x0 and box.x1 <= canvas.x1 and canvas.y0 <= box.y0 and box.y1 <= canvas.y1


def test_losses_far_apart_have_a_logarithmic_axis() -> None:
    """Ascent has no bound: on a linear axis one method that runs away presses all others onto its bottom."""
    results = made_up_results(methods=2, seeds=2)
    assert over_rounds(results, "forget_loss", methods=["gd"]).get_yscale() == "linear"
    for row in results["rows"]:
        for point in row.get("path", []):
            if row["method"] == "ga":
                point["forget_loss"] = 10.0 ** (point["round"] / 10)
    axes = over_rounds(results, "forget_loss")
    assert axes.get_yscale() == "log"
    assert over_rounds(results, "forget_rouge").get_yscale() == "linear"
