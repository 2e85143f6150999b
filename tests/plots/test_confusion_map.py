"""Heat maps of confusion, by what they hold and by what is framed."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from unlearnkit.errors import ConfigurationError, UnknownNameError
from unlearnkit.plots import confusion_map, file_axes

COUNTS = {"cat": {"cat": 3, "dog": 1}, "dog": {"dog": 5}}


def test_a_row_is_the_share_of_a_classs_images_and_one_without_images_is_empty() -> None:
    axes = confusion_map(COUNTS, ["cat", "dog", "ox"], ax=file_axes(), title="GA")
    np.testing.assert_allclose(axes.images[0].get_array(), [[0.75, 0.25, 0], [0, 1, 0], [0, 0, 0]])
    assert axes.images[0].get_clim() == (0.0, 1.0)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["cat", "dog", "ox"]
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_title()) == ("taken for", "class", "GA")


def test_the_row_of_a_forgotten_class_is_framed() -> None:
    axes = confusion_map(COUNTS, ["cat", "dog"], ["dog"], file_axes())
    (frame,) = axes.patches
    assert frame.get_gid() == "forgotten:dog" and not frame.get_fill()
    assert (frame.get_xy(), frame.get_width(), frame.get_height()) == ((-0.5, 0.5), 2, 1)


def test_twenty_names_do_not_touch_and_more_are_refused() -> None:
    names = [f"class number {place}" for place in range(20)]
    axes = confusion_map({}, names, ax=file_axes(5.4))
    axes.figure.canvas.draw()
    boxes = [label.get_window_extent() for label in axes.get_yticklabels()]
    assert all(label.get_fontsize() >= 9 for label in axes.get_yticklabels())
    assert all(upper.y0 >= lower.y1 - 1 for upper, lower in pairwise(boxes))
    with pytest.raises(ConfigurationError, match="`classes` must be 20 at most.*Found 21"):
        confusion_map({}, [*names, "one more"], ax=file_axes())


def test_a_forgotten_class_that_is_not_drawn_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="`forgotten` must be one of: cat, dog. Found 'cow'"):
        confusion_map(COUNTS, ["cat", "dog"], ["cow"], file_axes())
