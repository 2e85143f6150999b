"""The sample grid: each image in its place, frames round forgotten classes, long names, colours."""

from __future__ import annotations

from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from unlearnkit.errors import ConfigurationError, UnknownNameError
from unlearnkit.plots import file_axes, render, sample_grid


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


def images(classes=3, k=2, channels=1, fill=None):
    found = np.arange(classes * k, dtype=np.uint8).reshape(classes, k, 1, 1, 1)
    return np.broadcast_to(found, (classes, k, channels, 4, 4)).copy()


def test_each_image_is_in_the_column_of_its_class_and_the_block_of_its_model():
    axes = sample_grid({"before": images(), "after": images() + 100}, ["a", "b", "c"], ax=file_axes())
    assert len(axes.images) == 12
    columns = [label.get_position()[0] for label in axes.get_xticklabels()]
    blocks = dict(zip([t.get_text() for t in axes.get_yticklabels()], axes.get_yticks(), strict=True))
    assert list(blocks) == ["before", "after"] and blocks["before"] < blocks["after"]
    for drawn in axes.images:
        left, right, bottom, top = drawn.get_extent()
        level = int(np.asarray(drawn.get_array()).max())
        column = min(range(3), key=lambda place: abs(columns[place] - (left + right) / 2))
        assert column == level % 100 // 2
        nearest = min(blocks, key=lambda name: abs(blocks[name] - (top + bottom) / 2))
        assert nearest == ("after" if level >= 100 else "before")


def test_images_do_not_touch():
    axes = sample_grid({"x": images()}, ["a", "b", "c"], ax=file_axes())
    places = sorted({tuple(drawn.get_extent()[:2]) for drawn in axes.images})
    assert len(places) == 3 and all(one[1] < other[0] for one, other in pairwise(places))


def test_forgotten_classes_are_framed_in_each_block():
    axes = sample_grid({"before": images(), "after": images()}, ["a", "b", "c"], ["b"], ax=file_axes())
    frames = [patch for patch in axes.patches if patch.get_gid() == "forgotten:b"]
    assert len(frames) == 2
    for frame in frames:
        own = [drawn.get_extent() for drawn in axes.images if 2 <= np.asarray(drawn.get_array()).max() < 4]
        held = [
            frame.get_x() <= left and right <= frame.get_x() + frame.get_width()
            and frame.get_y() <= top and bottom <= frame.get_y() + frame.get_height()
            for left, right, bottom, top in own
        ]  # fmt: skip
        assert sum(held) == 2


def test_colour_and_tensors():
    axes = sample_grid({"x": torch.from_numpy(images(channels=3))}, ["a", "b", "c"])
    assert axes.images[0].get_array().shape == (4, 4, 3)
    assert axes.figure.get_figwidth() == 6
    assert render(axes)[1:4] == b"PNG"


def test_long_names_are_turned():
    found = [
        sample_grid({"x": images()}, names, ax=file_axes()).get_xticklabels()[0].get_rotation()
        for names in (["a", "b", "c"], ["a", "b", "n" * 30])
    ]
    assert found == [0, 90]


@pytest.mark.parametrize(
    "wrong",
    [{}, {"x": images(2)}, {"x": images().astype(float)}, {"x": images()[:, 0]}, {"x": images(channels=2)}],
)
def test_what_cannot_be_drawn_is_refused(wrong):
    with pytest.raises(ConfigurationError, match="`samples` must"):
        sample_grid(wrong, ["a", "b", "c"])


def test_a_forgotten_class_must_be_there():
    with pytest.raises(UnknownNameError, match="forgotten"):
        sample_grid({"x": images()}, ["a", "b", "c"], ["d"])
