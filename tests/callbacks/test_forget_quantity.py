"""What can be monitored, where it goes, and what it is to reach."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from unlearnkit.callbacks.forget_quantity import fixed_target, settled_direction
from unlearnkit.errors import ArtifactError, ConfigurationError, UnknownNameError
from unlearnkit.evaluators.preferences_definitions import DEFINITIONS as OF_PREFERENCES
from unlearnkit.evaluators.tofu_definitions import DEFINITIONS


@pytest.mark.parametrize(
    ("monitor", "direction"),
    [
        ("nll", "rises"),
        ("eval/forget_loss", "rises"),
        ("eval/forget_truth_ratio", "rises"),
        ("eval/forget_truth_ratio_arithmetic", "rises"),
        ("eval/forget_quality", "rises"),
        ("eval/forget_quality_log10", "rises"),
        ("eval/forget_rouge", "falls"),
        ("eval/forget_fact", "falls"),
        ("eval/forget_log_prob", "falls"),
        ("eval/forget_probability", "falls"),
        ("eval/verbmem", "falls"),
    ],
)
def test_the_direction_is_known_for_what_evaluations_say_of_the_forget_set(
    monitor: str, direction: str
) -> None:
    assert settled_direction(monitor) == direction
    name = monitor.removeprefix("eval/")
    known = DEFINITIONS.keys() | OF_PREFERENCES.keys()
    assert monitor == "nll" or name in known or name.removeprefix("forget_") in known


@pytest.mark.parametrize("monitor", ["eval/retain_rouge", "eval/model_utility", "loss/forget", "eval/score"])
def test_another_direction_must_be_given(monitor: str) -> None:
    with pytest.raises(ConfigurationError, match=f"`direction` must be given .* Found None for '{monitor}'"):
        settled_direction(monitor)


def evaluation(path: Path, **summary: float | None) -> str:
    path.write_text(json.dumps({"comparability": {"format": 1}, "summary": summary}))
    return str(path)


def test_the_retrained_references_evaluation_holds_the_target(tmp_path: Path) -> None:
    path = evaluation(tmp_path / "results.json", forget_loss=2.5, forget_rouge=0.375, forget_quality=None)
    assert fixed_target(path, "nll") == 2.5
    assert fixed_target(path, "eval/forget_rouge") == 0.375
    with pytest.raises(
        UnknownNameError, match="`monitor` must be one of: eval/forget_loss.*Did you mean 'eval/forget_ro"
    ):
        fixed_target(path, "eval/forget_rouge_l")
    with pytest.raises(
        ConfigurationError, match="`target` must be a finite number.*Found None for 'eval/forget_qua"
    ):
        fixed_target(path, "eval/forget_quality")
    with pytest.raises(ArtifactError, match="nowhere.json"):
        fixed_target("nowhere.json", "nll")


@pytest.mark.parametrize("target", [math.nan, math.inf])
def test_a_target_must_be_finite(target: float) -> None:
    with pytest.raises(
        ConfigurationError, match=f"`target` must be a finite number.*Found {target} for 'nll'"
    ):
        fixed_target(target, "nll")
