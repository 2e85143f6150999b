"""Progress bars of datasets are off inside the block, and as they were after it."""

from __future__ import annotations

from contextlib import suppress

import datasets
import pytest

from unlearnkit.datamodules.without_progress_bars import without_progress_bars


@pytest.mark.parametrize("silent", [False, True])
def test_bars_are_off_inside_and_as_they_were_after(silent):
    before = datasets.utils.are_progress_bars_disabled()
    (datasets.disable_progress_bars if silent else datasets.enable_progress_bars)()
    try:
        with suppress(KeyError), without_progress_bars():
            assert datasets.utils.are_progress_bars_disabled()
            raise KeyError
        assert datasets.utils.are_progress_bars_disabled() == silent
    finally:
        (datasets.disable_progress_bars if before else datasets.enable_progress_bars)()
