"""The report: one page that stands alone, says what it cannot show, and escapes what it is given."""

from __future__ import annotations

import base64
import math
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from unlearnkit.errors import ConfigurationError
from unlearnkit.study.report import caveats, report_html, write_figures, write_report
from unlearnkit.testing.results import made_up_results

VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """A strict reader: every tag is closed in order; texts and attributes are collected."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.text: list[str] = []
        self.links: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]
        assert not any(name.startswith("on") for name, _ in attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def words(self) -> str:
        return " ".join(" ".join(self.text).split())


def of(results: dict[str, Any], method: str) -> list[dict[str, Any]]:
    return [row for row in results["rows"] if row["method"] == method]


def test_the_page_is_whole_and_needs_no_other_file() -> None:
    page = Page(report_html(made_up_results()))
    assert page.tags.count("table") == 3 and page.tags.count("h1") == 1
    assert all(link.startswith("data:") for link in page.links)
    assert "script" not in page.tags and "link" not in page.tags
    assert "@import" not in page.words() and "url(" not in page.words()


def test_the_figure_inside_is_whole() -> None:
    links = Page(report_html(made_up_results())).links
    assert len(links) == 3, "the trade-off, and two figures of curves"
    for link in links:
        form, _, content = link.partition(";base64,")
        assert form == "data:image/svg+xml"
        assert ElementTree.fromstring(base64.b64decode(content)).tag.endswith("svg")


def classified() -> dict[str, Any]:
    """Return made-up results of a classifier that forgets a class, with paths and confusion."""
    table = {"set": "test", "classes": ["a&b", "c"], "forgotten": ["c"], "counts": {"c": {"a&b": 3, "c": 1}}}
    rows = []
    for role in ("target", "retrained", "method"):
        numbers = {"forget_accuracy": 0.5, "test_accuracy": 0.9, "forget_class_test_accuracy": 0.25}
        path = [{"round": at, **numbers} for at in (0, 10)]
        rows.append(
            {"role": role, "method": role, "seed": 0, "summary": numbers, "path": path, "confusion": table}
        )
    return {"evaluation": "classification", "rows": rows}


def test_a_classifiers_page_has_curves_and_confusion() -> None:
    page = Page(report_html(classified()))
    assert len(page.links) == 3 and page.tags.count("h1") == 1
    words = page.words()
    assert "Over rounds: mean and standard deviation over seeds" in words
    assert "What test images are taken for, before and after" in words
    assert "What forgotten classes are taken for" in words and "a&b: 75, c: 25" in words
    assert "forgotten classes' test accuracy" in words


def test_a_classifiers_figures_are_written(tmp_path: Path) -> None:
    names = {path.name for path in write_figures(tmp_path, classified())}
    assert names == {
        f"{stem}.{form}" for stem in ("tradeoff", "curves", "confusion") for form in ("png", "svg")
    }
    assert names == {path.name for path in tmp_path.iterdir()}


def test_it_says_protocol_meanings_and_how_to_read() -> None:
    words = Page(report_html(made_up_results())).words()
    for part in (
        "unlearnkit compare --config tofu/quickstart.yaml",
        "trained from scratch",
        "How to read this",
        "What the columns mean",
        "over-forgetting",
        "Harmonic mean of probability, ROUGE-L recall and truth ratio",
        "protocol: parameters 523520",
        "versions: unlearnkit 0.0.0",
        "At matched forgetting",
    ):
        assert part in words, part


def test_definitions_of_the_results_are_shown_for_a_set_or_for_all() -> None:
    definitions = {"rouge": "of any set", "forget_fact": "of this set"}
    words = Page(report_html(made_up_results() | {"definitions": definitions})).words()
    assert words.count("Exactly: of any set") == 2 and words.count("Exactly: of this set") == 1


def test_both_themes_are_there() -> None:
    text = report_html(made_up_results())
    assert "color-scheme: light dark" in text and "prefers-color-scheme: dark" in text


def test_text_is_escaped_everywhere() -> None:
    nasty = "<script>alert('x')</script>&\"<img src=x onerror=y>"
    results = made_up_results() | {"command": nasty, "date": nasty, "definitions": {"model_utility": nasty}}
    results["protocol"] = results["protocol"] | {
        "model": nasty,
        "data": nasty,
        nasty: {nasty: nasty},
        "tuning": nasty,
    }
    results["hardware"] = {nasty: nasty}
    of(results, "ga")[0]["label"] = nasty
    of(results, "npo")[0]["diverged"] = nasty
    page = Page(report_html(results))
    assert page.tags.count("script") == 0 and page.tags.count("img") == 3
    assert page.words().count("<script>alert('x')</script>") >= 8


def test_it_is_written_whole_and_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "run"
    path = write_report(folder, made_up_results(methods=1))
    first = path.read_text(encoding="utf-8")
    assert write_report(folder, made_up_results(methods=2)) == path == folder / "report.html"
    assert path.read_text(encoding="utf-8") != first
    assert [file.name for file in folder.iterdir()] == ["report.html"]


def test_figures_are_written_beside_it(tmp_path: Path) -> None:
    write_figures(tmp_path, made_up_results(methods=1))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"{stem}.{form}" for stem in ("curves", "tradeoff") for form in ("png", "svg")
    ]


def test_collapse_does_not_break_the_page_and_is_named() -> None:
    results = made_up_results(seeds=2)
    for row in of(results, "ga"):
        row["summary"] = dict.fromkeys(row["summary"])
        row["path"] = [{"round": 10, "forget_rouge": math.nan, "model_utility": None}]
    for row in of(results, "npo"):
        row["summary"] |= {"forget_quality": 0.0, "forget_quality_log10": None}
        del row["path"]
    of(results, "gd")[0]["diverged"] = "The forget loss must stay finite."
    words = Page(report_html(results)).words()
    assert "not finite (an en dash, or n of m seeds) for: GA." in words
    assert "no rank at matched forgetting, for: NPO." in words
    assert "GD, seed 0, diverged: The forget loss must stay finite." in words
    assert " nan " not in words


def test_no_reference_is_a_caveat_and_not_an_error() -> None:
    results = made_up_results()
    results["rows"] = [row for row in results["rows"] if row["role"] != "retrained"]
    words = Page(report_html(results)).words()
    assert "There is no retrained reference" in words
    assert "`level` must be a finite number" in words


@pytest.mark.parametrize(
    ("seeds", "words"), [(1, "1 seed is not a ranking"), (3, "3 seeds are not a ranking"), (5, "")]
)
def test_few_seeds_are_a_caveat(seeds: int, words: str) -> None:
    found = " ".join(caveats(made_up_results(methods=1, seeds=seeds)))
    assert words in found
    assert ("not a ranking" in found) == bool(words)


def test_caveats_name_tuning_and_rows_of_the_path() -> None:
    results = made_up_results()
    results["protocol"] |= {"tuning": "none", "path_rows": 20, "from_scratch": False}
    found = " ".join(caveats(results))
    assert "Tuning: none." in found and "first 20 rows" in found and "from scratch" not in found


def test_results_without_rows_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="must hold a list `rows`"):
        write_report(tmp_path, {"protocol": {}})
    assert not list(tmp_path.iterdir())


def test_the_figure_grows_with_its_legend(tmp_path: Path) -> None:
    from matplotlib.image import imread

    results = made_up_results(methods=1)
    many = [row | {"method": f"m{n}", "label": f"method {n}"} for n in range(24) for row in of(results, "gd")]
    few_results, many_results = made_up_results(methods=8), results | {"rows": results["rows"] + many}
    for row in (*few_results["rows"], *many_results["rows"]):
        row["path"] = []  # no curves: they are drawn elsewhere
    write_figures(tmp_path / "few", few_results)
    write_figures(tmp_path / "many", many_results)
    few, tall = (imread(tmp_path / name / "tradeoff.png").shape[0] for name in ("few", "many"))
    assert few == 760 and tall > 1200, "3.8 inches at 200 dots, and a line for each method"
