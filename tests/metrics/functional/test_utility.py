from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unlearnkit.errors import DataError, MismatchError, NonFiniteError
from unlearnkit.metrics.functional.memorisation import (
    normalised_probability,
    probability,
    retain_truth_ratio,
)
from unlearnkit.metrics.functional.text import rouge_l_recall
from unlearnkit.metrics.functional.utility import UTILITY_PARTS, model_utility, partial_utility

RATE = st.floats(min_value=1e-6, max_value=1)
PARTS = st.dictionaries(st.text(min_size=1), RATE, min_size=1, max_size=12)


def test_the_nine_parts():
    assert len(set(UTILITY_PARTS)) == 9
    assert UTILITY_PARTS[0] == "retain_probability"
    assert UTILITY_PARTS[-1] == "world_facts_truth_ratio"


def test_equals_another_code_base_in_every_digit():
    """The nine parts and the utility that open-unlearning's pull request 72 prints."""
    values = [
        0.21705962190404535,
        0.313057008174422,
        0.37752008027804096,
        0.5607812059531567,
        0.741,
        0.7369656421149354,
        0.5205829499369004,
        0.8468660968660968,
        0.679617672811441,
    ]
    result = model_utility(dict(zip(UTILITY_PARTS, values, strict=True)))
    assert result.value == pytest.approx(0.4612301673662931, rel=1e-15)
    assert result.n == 9


@given(PARTS)
def test_between_the_least_part_and_the_mean(parts):
    values = list(parts.values())
    result = partial_utility(parts)
    assert min(values) * (1 - 1e-12) <= result.value <= math.fsum(values) / len(values) * (1 + 1e-12)
    assert (result.n, result.parts) == (len(parts), parts)


@given(PARTS, st.data())
def test_grows_with_every_part_and_ignores_order(parts, data):
    name = data.draw(st.sampled_from(sorted(parts)))
    better = {**parts, name: parts[name] * 1.5}
    assert partial_utility(better).value > partial_utility(parts).value
    turned = dict(reversed(parts.items()))
    assert partial_utility(turned).value == pytest.approx(partial_utility(parts).value, rel=1e-14)


@given(PARTS, st.sampled_from([0.0, 5e-324, 1e-310]))
def test_one_lost_part_makes_it_zero(parts, lost):
    assert partial_utility({**parts, "lost": lost}).value == 0.0


@pytest.mark.parametrize(
    ("parts", "error", "message"),
    [
        ({}, DataError, r"`parts` must hold at least one number"),
        ({"a": -0.1}, DataError, r"`parts\['a'\]` must be >= 0. Found -0.1"),
        ({"a": math.nan}, NonFiniteError, r"`parts\['a'\]` must be finite. Found nan"),
        ({"a": math.inf}, NonFiniteError, r"Found inf"),
    ],
)
def test_bad_parts(parts, error, message):
    with pytest.raises(error, match=message):
        partial_utility(parts)


def test_exactly_nine_parts_are_asked_for():
    parts = dict.fromkeys(UTILITY_PARTS, 0.5)
    del parts["retain_rouge"]
    parts["forget_rouge"] = 0.5
    with pytest.raises(
        MismatchError, match=r"Missing: retain_rouge; unknown: forget_rouge. Use partial_utility"
    ):
        model_utility(parts)


@pytest.mark.parametrize(
    ("model", "mean", "expected"),
    [
        ("full", "geometric", 0.6226773637),
        ("full", "arithmetic", 0.5858860351),
        ("retain90", "geometric", 0.6137449952),
    ],
)
def test_published_logs(tofu_logs, model, mean, expected):
    parts = {}
    for name in ("retain", "real_authors", "world_facts"):
        columns = tofu_logs[model][name]
        losses, wrong = columns["avg_gt_loss"], columns["average_perturb_loss"]
        right = columns.get("avg_paraphrased_loss", losses)
        shares = probability(losses) if name == "retain" else normalised_probability(losses, wrong)
        rouge = [rouge_l_recall(generation, truth) for _, generation, truth in columns["generated_text"]]
        parts[f"{name}_probability"] = shares.mean().item()
        parts[f"{name}_rouge"] = sum(rouge) / len(rouge)
        parts[f"{name}_truth_ratio"] = retain_truth_ratio(right, wrong, mean).value
    assert model_utility(parts).value == pytest.approx(expected, abs=5.1e-11)
