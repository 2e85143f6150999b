"""Token entropy, model capability and forget efficacy against naive transcriptions."""

from __future__ import annotations

import random
from statistics import fmean, harmonic_mean

import numpy as np
import pytest

from unlearnkit.errors import DataError, MismatchError, NonFiniteError
from unlearnkit.metrics.functional import (
    CAPABILITY_PARTS,
    EFFICACY_PARTS,
    UTILITY_PARTS,
    forget_efficacy,
    model_capability,
    token_entropy,
)


def naive_entropy(tokens):
    counts = {token: tokens.count(token) for token in tokens}
    frequencies = np.array(list(counts.values())) / len(tokens)
    return float(np.sum(-frequencies * np.log2(frequencies)) / np.log2(len(tokens)))


@pytest.mark.parametrize("seed", range(5))
def test_entropy(seed):
    draw = random.Random(seed)
    tokens = draw.choices("abcdefgh", k=draw.randint(2, 30))
    assert token_entropy(tokens) == pytest.approx(naive_entropy(tokens), abs=1e-12)


def test_entropy_of_little_and_of_repetition():
    assert [token_entropy(row) for row in ([], ["a"], ["a"] * 50, list("abcdef"))] == [0.0, 0.0, 0.0, 1.0]


def test_capability_is_the_harmonic_mean_of_eighteen():
    parts = {name: 0.1 + 0.04 * place for place, name in enumerate(CAPABILITY_PARTS)}
    found = model_capability(parts)
    assert (found.value, found.n) == (pytest.approx(harmonic_mean(parts.values())), 18)
    assert set(UTILITY_PARTS) < set(CAPABILITY_PARTS)
    assert model_capability(parts | {"retain_entailment": 0.0}).value == 0.0


def test_efficacy_leaves_entropy_out_and_turns_the_truth_ratio():
    parts = dict(zip(EFFICACY_PARTS, (0.9, 0.8, 0.7, 0.6, 0.5), strict=True))
    ratio = parts["forget_truth_ratio"]
    theirs = [value for name, value in parts.items() if name != "forget_truth_ratio"] + [1 - ratio]
    assert forget_efficacy(parts) == pytest.approx(1 - fmean(theirs))
    assert "forget_token_entropy" not in EFFICACY_PARTS and len(EFFICACY_PARTS) == 5


@pytest.mark.parametrize(
    ("measure", "names"), [(model_capability, CAPABILITY_PARTS), (forget_efficacy, EFFICACY_PARTS)]
)
def test_exactly_the_parts(measure, names):
    whole = dict.fromkeys(names, 0.5)
    with pytest.raises(MismatchError, match=f"Missing: {names[1]}; unknown: none"):
        measure({name: value for name, value in whole.items() if name != names[1]})
    with pytest.raises(MismatchError, match="Missing: none; unknown: retain_colour"):
        measure(whole | {"retain_colour": 1.0})


def test_capability_refuses_what_is_no_rate():
    whole = dict.fromkeys(CAPABILITY_PARTS, 0.5)
    with pytest.raises(DataError, match="retain_rouge"):
        model_capability(whole | {"retain_rouge": -0.1})
    with pytest.raises(NonFiniteError, match="retain_rouge"):
        model_capability(whole | {"retain_rouge": float("nan")})
