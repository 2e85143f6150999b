"""MUSE's numbers against its own code, transcribed, on constructed texts and scores."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from rouge_score.rouge_scorer import RougeScorer
from sklearn.metrics import auc, roc_curve

from unlearnkit.errors import DataError, MismatchError
from unlearnkit.metrics.functional import (
    attack_auc,
    first_answer,
    min_k_score,
    muse_privleak,
    over_requests,
    privleak,
    unstemmed_rouge_l_f,
)

TEXTS = [
    ("The bridges were opened on Friday, 4 May.", "The bridge was opened on Friday."),
    ("", "nothing generated"),
    ("Flames and smoke; flames!", "smoke, then flames and flames"),
    ("a b c", "a b c"),
]


@pytest.mark.parametrize(("generation", "truth"), TEXTS)
def test_rouge_is_muses(generation, truth):
    scorer = RougeScorer(["rougeL"], use_stemmer=False)
    assert unstemmed_rouge_l_f(generation, truth) == scorer.score(truth, generation)["rougeL"].fmeasure


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (" Skelport\n\nQuestion: Who?", " Skelport"),
        (" Skelport\nQuestion: Who?", " Skelport"),
        (" Skelport Question: Who?", " Skelport "),
        (" In Skelport.\nOn Friday.", " In Skelport.\nOn Friday."),
        ("\n\nSkelport", ""),
    ],
)
def test_answers_end_where_muse_cuts_them(text, answer):
    assert first_answer(text) == answer


def test_privacy_leakage_is_muses():
    """Transcribe MUSE: Min-40% of each text, ROC with forget 0 and holdout 1 and the mean log-probability as score."""
    draw = random.Random(0)

    def log_probs(mean):
        return [-draw.expovariate(1 / mean) for _ in range(draw.randint(20, 60))]

    def area(forget, holdout):
        def min_40(values):
            return -np.mean(np.sort(values)[: int(0.4 * len(values))]).item()

        scores = [-min_40(values) for values in (*forget, *holdout)]
        rates = roc_curve([0] * len(forget) + [1] * len(holdout), scores)
        return auc(rates[0], rates[1])

    holdout = [log_probs(2.0) for _ in range(15)]
    models = {
        "unlearned": [log_probs(1.2) for _ in range(15)],
        "retrained": [log_probs(2.1) for _ in range(15)],
    }
    areas = {name: area(forget, holdout) for name, forget in models.items()}
    ours = {
        name: attack_auc([min_k_score(text) for text in forget], [min_k_score(text) for text in holdout])
        for name, forget in models.items()
    }
    for name, found in areas.items():
        assert 1 - ours[name] == pytest.approx(found)
    wanted = (areas["unlearned"] - areas["retrained"]) / areas["retrained"] * 100
    assert muse_privleak(1 - ours["unlearned"], 1 - ours["retrained"]) == pytest.approx(wanted)
    assert privleak(ours["unlearned"], ours["retrained"]) == pytest.approx(wanted, rel=1e-8)
    assert wanted < -20


def test_a_reference_that_knows_everything_gives_no_number():
    assert math.isnan(muse_privleak(0.5, 0.0))


def test_over_requests_is_the_least_squares_line():
    sizes, values = [10, 20, 40, 80], [0.6, 0.55, 0.5, 0.2]
    found = over_requests(values, sizes)
    assert found.slope == pytest.approx(np.polyfit(sizes, values, 1)[0])
    assert found.worst == 0.2 and found.changes == pytest.approx([0, -0.05, -0.1, -0.4])
    assert over_requests(values).slope == pytest.approx(np.polyfit([1, 2, 3, 4], values, 1)[0])


def test_what_has_no_slope_is_refused():
    with pytest.raises(DataError, match="at least two requests of different size. Found 1 values at 1 sizes"):
        over_requests([0.5])
    with pytest.raises(DataError, match="Found 2 values at 1 sizes"):
        over_requests([0.5, 0.4], [10, 10])
    with pytest.raises(MismatchError, match="Found 1 for 2"):
        over_requests([0.5, 0.4], [10])
