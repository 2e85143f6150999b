"""Which figures results have, and that what is in them can be read."""

from __future__ import annotations

from typing import Any

import matplotlib.text
import pytest

from unlearnkit.study.figures import AT_ONCE, MAPS, figures
from unlearnkit.testing.results import made_up_results

NUMBERS = ("forget_accuracy", "retain_accuracy", "test_accuracy", "mia_entropy_member_rate")
CIFAR = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def classification(
    methods: int, seeds: int = 2, numbers: tuple[str, ...] = NUMBERS, **shown: Any
) -> dict[str, Any]:
    """Return made-up results of a classifier: no run stands behind any number."""
    rows: list[dict[str, Any]] = []
    names = ["retrained", "target", *(f"Method {place} + DualOptim+" for place in range(methods))]
    for seed in range(seeds):
        for place, name in enumerate(names):
            values = dict.fromkeys(numbers, 0.5 + 0.1 * seed)
            row = {"role": name if place < 2 else "method", "method": name, "label": name, "seed": seed}
            row["path"] = [{"round": at} | dict.fromkeys(numbers, 1 - at / 20) for at in (0, 5, 10)]
            rows.append(row | {"summary": values, "confusion": shown} if shown else row | {"summary": values})
    return {"evaluation": "classification", "rows": rows}


TABLE = {
    "set": "test",
    "classes": CIFAR,
    "forgotten": ["dog"],
    "counts": {name: {name: 90, CIFAR[0]: 10} for name in CIFAR},
}


def drawn(axes: Any) -> Any:
    return axes.figure


def test_results_of_texts_are_followed_by_rouge_and_loss() -> None:
    _, first, second = figures(made_up_results(seeds=2))
    assert (first.stem, second.stem) == ("curves_1", "curves_2")
    labels = [axes.get_ylabel() for axes in drawn(first.axes).axes]
    assert [label.replace("\n", " ") for label in labels] == [
        "forget ROUGE-L recall", "retain ROUGE-L recall", "forget loss", "retain loss"
    ]  # fmt: skip


def test_results_without_paths_have_the_tradeoff_only() -> None:
    results = made_up_results()
    for row in results["rows"]:
        row["path"] = []
    assert [figure.stem for figure in figures(results)] == ["tradeoff"]


def test_the_four_numbers_have_a_panel_each_and_one_legend() -> None:
    first, curves = figures(classification(3))
    assert (first.stem, curves.stem) == ("tradeoff", "curves")
    figure = drawn(curves.axes)
    assert len(figure.axes) == 4 and all(axes.get_legend() is None for axes in figure.axes)
    (legend,) = figure.legends
    assert legend.get_texts()[0].get_text() == "retrained"
    assert len(legend.get_texts()) == 4


def test_without_attacks_three_panels_are_left() -> None:
    assert len(drawn(figures(classification(1, numbers=NUMBERS[:3]))[1].axes).axes) == 3


def test_many_methods_are_shared_out_over_figures() -> None:
    found = figures(classification(2 * AT_ONCE + 1))[1:]
    assert [figure.stem for figure in found] == ["curves_1", "curves_2", "curves_3"]
    assert len({figure.title for figure in found}) == 1
    lines = [
        len([line for line in drawn(f.axes).axes[0].lines if line.get_gid() != "retrained"]) for f in found
    ]
    assert lines == [AT_ONCE, AT_ONCE, 1]


def test_confusion_stands_side_by_side_from_target_to_retrained() -> None:
    (confusion,) = [figure for figure in figures(classification(9, **TABLE)) if figure.stem == "confusion"]
    maps = [axes for axes in drawn(confusion.axes).axes if axes.get_title()]
    titles = [axes.get_title() for axes in maps]
    assert titles[0] == "target" and titles[-1] == "retrained" and len(maps) == MAPS + 2
    assert all(axes.patches[0].get_gid() == "forgotten:dog" for axes in maps)
    assert maps[0].images[0].get_array()[5].tolist() == [0.1, 0, 0, 0, 0, 0.9, 0, 0, 0, 0]


def test_of_many_classes_no_map_is_drawn() -> None:
    assert all(figure.stem != "confusion" for figure in figures(classification(1, **TABLE | {"classes": []})))


@pytest.mark.parametrize("methods", [1, 6])
def test_everything_is_on_the_canvas_and_no_font_is_small(methods: int) -> None:
    many = [f"class {place}" for place in range(20)]
    wide = TABLE | {"classes": many, "forgotten": many[:1], "counts": {}}
    for found in [*figures(classification(methods, **TABLE)), *figures(classification(methods, **wide))]:
        figure = drawn(found.axes)
        figure.canvas.draw()
        texts = [text for text in figure.findobj(matplotlib.text.Text) if text.get_text()]
        assert texts and all(text.get_fontsize() >= 9 for text in texts)
        box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
        assert min(box.x0, box.y0) >= 0 and box.x1 <= width and box.y1 <= height, (found.stem, box)
