"""What is running and how much is left."""

from __future__ import annotations

import io

from rich.console import Console

from unlearnkit.study.progress import StudyProgress


def test_a_log_gets_one_line_a_run() -> None:
    out = io.StringIO()
    with StudyProgress(10, Console(file=out)) as progress:
        progress.start("first")
        progress.advance(5)
        progress.start("second [0]")
    assert out.getvalue().splitlines() == ["[  0 %] first", "[ 50 %] second [0]"]


def test_a_terminal_gets_a_bar_with_the_time_left() -> None:
    out = io.StringIO()
    with StudyProgress(10, Console(file=out, force_terminal=True, width=100)) as progress:
        progress.start("seed 0")
        progress.advance(4, "round 4/10")
    assert "seed 0 round 4/10" in out.getvalue() and "40%" in out.getvalue() and "left" in out.getvalue()


def test_more_work_than_was_estimated_stays_at_the_end() -> None:
    progress = StudyProgress(10, Console(file=io.StringIO()))
    progress.advance(25)
    assert progress.done == 10
