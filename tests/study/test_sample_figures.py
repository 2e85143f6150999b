"""Sample grids of a comparison: which models, of which seed, from the evaluations in its folder."""

from __future__ import annotations

import pytest
import torch

from unlearnkit.artifacts import atomic_write_json
from unlearnkit.evaluators.packed import pack_images
from unlearnkit.study.figures import figures
from unlearnkit.study.report import write_figures, write_report
from unlearnkit.study.sample_figures import sample_figures


def evaluation(level, k=2):
    images = torch.full((3, k, 1, 4, 4), level, dtype=torch.uint8)
    return {"samples": {"classes": ["a", "b", "c"], "forgotten": ["b"], "packed": pack_images(images)}}


def row(method, role="method", seed=0):
    numbers = {"forget_accuracy": 0.1, "retain_accuracy": 0.9}
    return {
        "method": method, "label": method.upper(), "role": role, "seed": seed, "seconds": 1.0, "rounds": 2,
        "summary": numbers, "path": [{"round": 0, **numbers}, {"round": 2, **numbers}],
    }  # fmt: skip


@pytest.fixture
def compared(tmp_path):
    """Two methods and two seeds whose target is the first one's."""
    for folder, level in (("seed0/target", 10), ("seed0/retrained", 20), ("seed0/ga", 30), ("seed1/ga", 40)):
        atomic_write_json(tmp_path / folder / "evaluation.json", evaluation(level))
    atomic_write_json(tmp_path / "seed0/ft/evaluation.json", {"summary": {}})
    rows = [row("target", "target"), row("retrained", "retrained"), row("ga"), row("ga", seed=1), row("ft")]
    return {"rows": rows, "evaluation": "generation"}, tmp_path


def levels(axes):
    return sorted({int(image.get_array().max()) for image in axes.images})


def test_each_method_stands_between_target_and_reference(compared):
    found = sample_figures(*compared)
    assert list(found) == ["ga"], "one without samples has no grid"
    assert levels(found["ga"]) == [10, 20, 30] and len(found["ga"].images) == 18
    assert [label.get_text() for label in found["ga"].get_yticklabels()] == ["target", "GA", "retrained"]
    assert [patch.get_gid() for patch in found["ga"].patches] == ["forgotten:b"] * 3


def test_a_seed_that_shares_its_target_finds_it(compared):
    results, folder = compared
    second = results | {"rows": [row("ga", seed=1)]}
    assert levels(sample_figures(second, folder)["ga"]) == [10, 20, 40]


def test_figures_and_report_hold_them_where_the_folder_is_known(compared):
    results, folder = compared
    assert "samples_ga" not in [figure.stem for figure in figures(results)]
    assert "samples_ga" in [figure.stem for figure in figures(results, folder)]
    assert folder / "samples_ga.png" in write_figures(folder, results)
    page = write_report(folder, results).read_text()
    assert "What each model draws" in page and "Generated images of target, ga" in page
