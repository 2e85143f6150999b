"""The trade-off figure, by the artists it draws."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex

from unlearnkit.plots import ROLES, file_axes, method_styles, tradeoff
from unlearnkit.testing.results import made_up_results


def line(axes: Axes, gid: str) -> Any:
    (found,) = [line for line in axes.lines if line.get_gid() == gid]
    return found


def gids(axes: Axes, kind: str) -> list[str]:
    return [gid for line in axes.lines if (gid := str(line.get_gid())).startswith(kind)]


def entries(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.get_legend().get_texts()]


def of(results: dict[str, Any], method: str) -> list[dict[str, Any]]:
    return [row for row in results["rows"] if row["method"] == method]


def test_a_path_goes_from_the_target_through_every_evaluated_round() -> None:
    results = made_up_results()
    (row,) = of(results, "ngdiff_gen")
    target = of(results, "target")[0]["summary"]
    path = line(tradeoff(results, file_axes()), "path:ngdiff_gen:0")
    assert list(path.get_xdata()) == [
        target["forget_rouge"],
        *(point["forget_rouge"] for point in row["path"]),
    ]
    assert list(path.get_ydata()) == [
        target["model_utility"],
        *(point["model_utility"] for point in row["path"]),
    ]


def test_the_last_point_is_marked_in_the_method_s_style() -> None:
    results = made_up_results()
    axes = tradeoff(results, file_axes())
    styles = method_styles(row["method"] for row in results["rows"] if row["role"] == "method")
    for method, style in styles.items():
        last = line(axes, f"last:{method}:0")
        end = of(results, method)[0]["path"][-1]
        assert (list(last.get_xdata()), list(last.get_ydata())) == (
            [end["forget_rouge"]],
            [end["model_utility"]],
        )
        assert (last.get_marker(), to_hex(last.get_color())) == (style.marker, style.color.lower())


def test_the_retrained_reference_is_a_star_with_dashed_guides() -> None:
    results = made_up_results()
    reference = of(results, "retrained")[0]["summary"]
    axes = tradeoff(results, file_axes())
    star = line(axes, "role:retrained")
    assert star.get_marker() == "*"
    assert (star.get_xdata()[0], star.get_ydata()[0]) == (
        reference["forget_rouge"],
        reference["model_utility"],
    )
    assert set(line(axes, "guide:x").get_xdata()) == {reference["forget_rouge"]}
    assert set(line(axes, "guide:y").get_ydata()) == {reference["model_utility"]}
    assert line(axes, "guide:x").get_linestyle() == "--"
    assert line(axes, "role:target").get_marker() == ROLES["target"].marker


def test_labels_say_what_is_better() -> None:
    axes = tradeoff(made_up_results(), file_axes())
    assert axes.get_xlabel() == "forget ROUGE-L recall\n(best near the retrained reference)"
    assert axes.get_ylabel() == "model utility (higher is better →)"
    results = made_up_results() | {"higher_is_better": {"forget_rouge": False}}
    assert tradeoff(results, file_axes()).get_xlabel() == "forget ROUGE-L recall (← lower is better)"


def test_other_keys_of_the_path_can_be_drawn() -> None:
    results = made_up_results()
    axes = tradeoff(results, file_axes(), x="forget_fact", y="retain_fact")
    assert line(axes, "path:npo:0").get_xdata()[-1] == of(results, "npo")[0]["path"][-1]["forget_fact"]
    assert axes.get_ylabel().startswith("retain fact accuracy")


def test_the_legend_names_all_roles_first() -> None:
    labels = entries(tradeoff(made_up_results(), file_axes()))
    methods = ["GD", "GA", "GDiff 0.1", "GDiff 0.5", "GDiff 0.9", "NPO", "LossNorm", "NGDiff + GeN"]
    assert labels == ["target", "retrained", *methods]


def test_seeds_are_thin_and_their_mean_is_thick() -> None:
    results = made_up_results(seeds=3)
    axes = tradeoff(results, file_axes())
    mean = line(axes, "path:ga:mean")
    seeds = [line(axes, f"seed:ga:{seed}") for seed in range(3)]
    assert max(seed.get_linewidth() for seed in seeds) < 1 < mean.get_linewidth()
    np.testing.assert_allclose(mean.get_xdata(), np.mean([seed.get_xdata() for seed in seeds], axis=0))
    np.testing.assert_allclose(mean.get_ydata(), np.mean([seed.get_ydata() for seed in seeds], axis=0))
    assert gids(axes, "last:ga") == ["last:ga:mean"]
    assert entries(axes)[-1] == "one of 3 seeds"


def test_a_seed_that_collapsed_ends_the_mean_and_is_counted() -> None:
    results = made_up_results(seeds=3)
    for point in of(results, "npo")[1]["path"][2:]:
        point["model_utility"] = None
    axes = tradeoff(results, file_axes())
    assert len(line(axes, "path:npo:mean").get_xdata()) == 3
    assert len(line(axes, "seed:npo:1").get_xdata()) == 3
    assert len(line(axes, "seed:npo:0").get_xdata()) == 7
    assert "NPO\n(4 points not finite)" in entries(axes)


@pytest.mark.parametrize("seeds", [2, 3])
def test_a_seed_without_values_leaves_the_others_unaveraged(seeds: int) -> None:
    results = made_up_results(seeds=seeds)
    dead = of(results, "ga")[0]
    dead["path"] = [
        {"round": point["round"], "forget_rouge": math.nan, "model_utility": None} for point in dead["path"]
    ]
    dead["summary"] = {}
    of(results, "target")[0]["summary"] = {}
    axes = tradeoff(results, file_axes())
    assert gids(axes, "path:ga") == [f"path:ga:{seed}" for seed in range(1, seeds)]
    assert gids(axes, "last:ga") == [f"last:ga:{seed}" for seed in range(1, seeds)]


def test_a_method_without_a_path_is_its_outcome_alone() -> None:
    results = made_up_results()
    (row,) = of(results, "gdiff_05")
    del row["path"]
    axes = tradeoff(results, file_axes())
    assert list(line(axes, "path:gdiff_05:0").get_xdata()) == [row["summary"]["forget_rouge"]]
    assert list(line(axes, "last:gdiff_05:0").get_ydata()) == [row["summary"]["model_utility"]]


def test_a_method_without_a_finite_value_is_only_in_the_legend() -> None:
    results = made_up_results()
    (row,) = of(results, "ga")
    row["path"], row["summary"] = [], dict.fromkeys(row["summary"])
    axes = tradeoff(results, file_axes())
    assert not gids(axes, "path:ga")
    assert "GA\n(no finite value)" in entries(axes)


def test_a_reference_without_values_has_no_guides() -> None:
    results = made_up_results()
    of(results, "retrained")[0]["summary"] = {}
    axes = tradeoff(results, file_axes())
    assert not gids(axes, "guide")
    assert "retrained (no finite value)" in entries(axes)
    results["rows"] = [row for row in results["rows"] if row["role"] != "retrained"]
    assert "retrained" not in "".join(entries(tradeoff(results, file_axes())))


def test_no_rows_at_all_still_make_axes() -> None:
    assert tradeoff({"rows": []}, file_axes()).get_xlabel()


def test_everything_drawn_lies_inside_the_limits() -> None:
    axes = tradeoff(made_up_results(seeds=2), file_axes())
    for drawn in axes.lines:
        if str(drawn.get_gid()).startswith("guide"):
            continue
        assert all(axes.get_xlim()[0] < x < axes.get_xlim()[1] for x in drawn.get_xdata())
        assert all(axes.get_ylim()[0] < y < axes.get_ylim()[1] for y in drawn.get_ydata())


def test_a_fraction_is_never_zoomed_into_its_last_hundredth() -> None:
    results = made_up_results(methods=1)
    low, high = tradeoff(results, file_axes()).get_ylim()
    assert high - low >= 0.2


@pytest.mark.parametrize("seeds", [1, 3])
def test_with_eight_methods_nothing_overlaps_or_is_clipped(seeds: int) -> None:
    axes = tradeoff(made_up_results(seeds=seeds), file_axes())
    figure = axes.figure
    figure.canvas.draw()
    canvas, legend = figure.bbox, axes.get_legend().get_window_extent()
    assert legend.x0 >= axes.get_window_extent().x1
    texts = [axes.xaxis.label, axes.yaxis.label, *axes.get_legend().get_texts()]
    for axis in (axes.xaxis, axes.yaxis):  # ticks beyond the limits exist and are not drawn
        low, high = axis.get_view_interval()
        texts += [tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
    for text in texts:
        box = text.get_window_extent()
        assert canvas.x0 <= box.x0 and box.x1 <= canvas.x1 and canvas.y0 <= box.y0 and box.y1 <= canvas.y1
        assert text.get_fontsize() >= 9
    heights = [text.get_window_extent() for text in axes.get_legend().get_texts()]
    assert not any(upper.overlaps(lower) for upper, lower in pairwise(heights))
    assert axes.get_window_extent().width > 0.55 * canvas.width


def test_pixels_show_the_palette() -> None:
    axes = tradeoff(made_up_results(), file_axes())
    axes.figure.canvas.draw()
    pixels = np.asarray(axes.figure.canvas.buffer_rgba())[..., :3].reshape(-1, 3)
    seen = {tuple(pixel) for pixel in np.unique(pixels, axis=0)}
    for color in ("#009E73", "#D55E00", "#AA3377"):
        assert tuple(int(color[at : at + 2], 16) for at in (1, 3, 5)) in seen
    assert (pixels == 255).all(axis=1).mean() > 0.5


def test_own_axes_are_drawn_on_and_returned() -> None:
    figure, own = plt.subplots()
    assert tradeoff(made_up_results(methods=1), own) is own
    plt.close(figure)


def test_without_axes_a_figure_six_inches_wide_is_made() -> None:
    axes = tradeoff(made_up_results(methods=1))
    assert axes.figure.get_figwidth() == 6
    plt.close(axes.figure)


def test_tick_labels_of_a_narrow_range_do_not_touch() -> None:
    results = made_up_results()
    for row in results["rows"]:
        for point in [row["summary"], *row.get("path", [])]:
            point["forget_rouge"], point["model_utility"] = 0.0, 0.0
    axes = tradeoff(results, file_axes())
    axes.figure.canvas.draw()
    low, high = axes.get_xlim()
    ticks = [tick for tick in axes.xaxis.get_major_ticks() if low <= tick.get_loc() <= high]
    boxes = [tick.label1.get_window_extent() for tick in ticks]
    assert len(boxes) > 2
    assert not any(left.overlaps(right) for left, right in pairwise(boxes))
