from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from unlearnkit.errors import ConfigurationError, DataError, MismatchError
from unlearnkit.metrics.functional.memorisation import (
    failed_rows,
    forget_truth_ratio,
    log_truth_ratio,
    mean_over_rows,
    normalised_probability,
    paper_truth_ratio,
    probability,
    retain_truth_ratio,
    truth_indifference,
    truth_preference,
)

LOSS = st.floats(min_value=0, max_value=20)
HUGE = st.floats(min_value=0, max_value=1e6)
MEANS = st.sampled_from(["geometric", "arithmetic"])


def rows_of(loss, k=3):
    return st.lists(st.tuples(loss, st.lists(loss, min_size=k, max_size=k)), min_size=1, max_size=12).map(
        lambda rows: ([right for right, _ in rows], [wrong for _, wrong in rows])
    )


@given(rows_of(LOSS))
def test_equal_to_the_formulas_written_naively(rows):
    right, wrong = rows
    for i, (loss, others) in enumerate(zip(right, wrong, strict=True)):
        p, p_wrong = math.exp(-loss), [math.exp(-other) for other in others]
        assert probability(right)[i].item() == pytest.approx(p, rel=1e-12)
        assert normalised_probability(right, wrong)[i].item() == pytest.approx(
            p / (p + sum(p_wrong)), rel=1e-12
        )
        geometric = math.prod(p_wrong) ** (1 / 3) / p
        arithmetic = sum(p_wrong) / 3 / p
        for mean, ratio in (("geometric", geometric), ("arithmetic", arithmetic)):
            log_r = log_truth_ratio(right, wrong, mean)
            assert log_r[i].exp().item() == pytest.approx(ratio, rel=1e-10)
            assert truth_preference(log_r)[i].item() == pytest.approx(max(0, 1 - ratio), rel=1e-9, abs=1e-12)
            assert truth_indifference(log_r)[i].item() == pytest.approx(min(ratio, 1 / ratio), rel=1e-10)


@given(rows_of(HUGE | LOSS), MEANS)
def test_bounds_hold_without_overflow_for_collapsed_models(rows, mean):
    log_r = log_truth_ratio(*rows, mean)
    assert log_r.isfinite().all()
    for values in (
        probability(rows[0]),
        normalised_probability(*rows),
        truth_preference(log_r),
        truth_indifference(log_r),
    ):
        assert values.dtype == torch.float64
        assert ((values >= 0) & (values <= 1)).all()
    assert retain_truth_ratio(*rows, mean).non_finite == 0


@given(rows_of(HUGE | LOSS))
def test_geometric_never_exceeds_arithmetic(rows):
    difference = log_truth_ratio(*rows, "arithmetic") - log_truth_ratio(*rows, "geometric")
    assert (difference >= -1e-9 * (1 + max(rows[0]) + max(map(max, rows[1])))).all()


@given(rows_of(LOSS), MEANS, st.floats(min_value=0, max_value=10))
def test_a_less_likely_truth_scores_lower(rows, mean, worse):
    right, wrong = rows
    before = truth_preference(log_truth_ratio(right, wrong, mean))
    after = truth_preference(log_truth_ratio([loss + worse for loss in right], wrong, mean))
    assert (after <= before + 1e-12).all()
    assert (probability([loss + worse for loss in right]) <= probability(right)).all()


@given(rows_of(LOSS), MEANS, st.randoms(use_true_random=False))
def test_the_order_of_rows_and_of_wrong_answers_does_not_matter(rows, mean, chance):
    right, wrong = rows
    order = list(range(len(right)))
    chance.shuffle(order)
    moved = [right[i] for i in order], [chance.sample(wrong[i], 3) for i in order]
    for aggregate in (retain_truth_ratio, forget_truth_ratio):
        assert aggregate(*rows, mean).value == pytest.approx(
            aggregate(*moved, mean).value, rel=1e-9, abs=1e-12
        )


@given(rows_of(LOSS), MEANS)
def test_swapping_right_and_wrong_mirrors_the_ratio(rows, mean):
    right, wrong = rows
    single = [[row[0]] for row in wrong]
    forward = log_truth_ratio(right, single, mean)
    back = log_truth_ratio([row[0] for row in single], [[loss] for loss in right], mean)
    torch.testing.assert_close(forward, -back, rtol=0, atol=1e-9)
    torch.testing.assert_close(truth_indifference(forward), truth_indifference(back))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", ["right", "wrong"])
def test_a_diverged_row_scores_worst_and_is_counted(bad, place):
    right = [0.5, bad if place == "right" else 0.5]
    wrong = [[1.0, 2.0], [1.0, bad if place == "wrong" else 2.0]]
    for mean in ("geometric", "arithmetic"):
        log_r = log_truth_ratio(right, wrong, mean)
        assert log_r.tolist()[1] == math.inf
        assert truth_preference(log_r).tolist()[1] == 0.0
        assert truth_indifference(log_r).tolist()[1] == 0.0
        for aggregate in (retain_truth_ratio, forget_truth_ratio):
            result = aggregate(right, wrong, mean)
            alone = aggregate(right[:1], wrong[:1], mean)
            assert (result.n, result.non_finite) == (2, 1)
            assert result.value == pytest.approx(alone.value / 2)
    assert normalised_probability(right, wrong).tolist()[1] == 0.0
    if place == "right":
        assert probability(right).tolist() == [pytest.approx(math.exp(-0.5)), 0.0]


def test_a_wholly_diverged_model_does_not_crash():
    nan = [math.nan] * 3
    assert retain_truth_ratio(nan, [[math.nan] * 5] * 3).value == 0.0
    assert forget_truth_ratio(nan, [[math.nan] * 5] * 3).value == 0.0
    assert probability(nan).tolist() == [0.0] * 3
    assert normalised_probability(nan, [nan] * 3).tolist() == [0.0] * 3
    assert truth_preference([math.nan]).tolist() == truth_indifference([math.nan]).tolist() == [0.0]


def test_normalised_probability_survives_underflow():
    assert normalised_probability([1e4], [[1e4, 1e4, 1e4]]).item() == 0.25
    assert normalised_probability([0.0], [[1e6]]).item() == 1.0


@pytest.mark.parametrize("mean", ["geometric", "arithmetic"])
def test_rows_may_have_different_numbers_of_wrong_answers(mean):
    right, wrong = [1.0, 2.0], [[2.0], [3.0, 1.0, 0.5]]
    together = log_truth_ratio(right, wrong, mean)
    apart = [log_truth_ratio(right[i : i + 1], wrong[i : i + 1], mean).item() for i in range(2)]
    assert together.tolist() == pytest.approx(apart)
    shares = normalised_probability(right, wrong).tolist()
    assert shares == pytest.approx(
        [normalised_probability(right[i : i + 1], wrong[i : i + 1]).item() for i in range(2)]
    )


def test_tensors_of_any_float_type_are_computed_in_float64():
    right, wrong = torch.tensor([1.0, 2.0], dtype=torch.float32), torch.ones(2, 4, dtype=torch.bfloat16)
    assert log_truth_ratio(right, wrong, "arithmetic").tolist() == [0.0, 1.0]
    assert probability(right.bfloat16()).dtype == torch.float64


def test_rounding_below_zero_is_allowed_and_probabilities_stay_at_one():
    assert probability([-1e-6]).tolist() == [1.0]


def test_failed_rows_looks_at_all_losses():
    a = torch.tensor([1.0, math.inf, 1.0])
    b = torch.tensor([[1.0, 1.0], [1.0, 1.0], [1.0, math.nan]])
    assert failed_rows(a, b).tolist() == [False, True, True]


def test_the_papers_truth_ratio_is_the_geometric_retain_aggregate():
    rows = [1.0, 3.0], [[2.0, 5.0], [1.0, 4.0]]
    assert paper_truth_ratio(*rows) == retain_truth_ratio(*rows, "geometric")
    assert paper_truth_ratio(*rows) != retain_truth_ratio(*rows, "arithmetic")


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: probability([-1.0]),
            DataError,
            r"`mean_nll` must be negative log-likelihoods.* Found -1\..* not log p",
        ),
        (lambda: probability([[1.0]]), DataError, r"`mean_nll` must have shape \[rows\]. Found \[1, 1\]"),
        (lambda: log_truth_ratio([1.0], [[1.0], [1.0]]), MismatchError, r"`wrong_nll` .* Found 2 for 1"),
        (
            lambda: log_truth_ratio([1.0, 1.0], [[1.0], []]),
            DataError,
            r"at least one wrong answer .* in row 1",
        ),
        (lambda: log_truth_ratio([1.0], [1.0]), DataError, r"Found shape \[\] in row 0"),
        (
            lambda: log_truth_ratio([1.0], [[1.0]], "median"),
            ConfigurationError,
            r"`mean` must be .* Found 'median'",
        ),
        (lambda: retain_truth_ratio([], []), DataError, r"at least one row. Found none"),
        (
            lambda: mean_over_rows(torch.zeros(0), torch.zeros(0)),
            DataError,
            r"`values` must hold at least one row",
        ),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()


GOLDEN = {
    # language-model logs of TOFU, Llama-2-7B, weight decay 0.01, full: probability, geometric, arithmetic
    "retain": (0.98952723, 0.47469859, 0.45386712),
    "real_authors": (0.45548208, 0.59622892, 0.50516011),
    "world_facts": (0.41856181, 0.53903284, 0.42305475),
    "forget": (0.99093856, 0.51598542, 0.53037002),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_published_logs(tofu_logs, name):
    columns = tofu_logs["full"][name]
    right = columns.get("avg_paraphrased_loss", columns["avg_gt_loss"])
    wrong = columns["average_perturb_loss"]
    if name in ("retain", "forget"):
        shares = probability(columns["avg_gt_loss"])
    else:
        shares = normalised_probability(columns["avg_gt_loss"], wrong)
    aggregate = forget_truth_ratio if name == "forget" else retain_truth_ratio
    found = (
        shares.mean().item(),
        aggregate(right, wrong).value,
        aggregate(right, wrong, "arithmetic").value,
    )
    assert found == pytest.approx(GOLDEN[name], abs=5.1e-9)


def test_published_truth_ratios_row_by_row(tofu_logs):
    for model in tofu_logs.values():
        for columns in model.values():
            right = columns.get("avg_paraphrased_loss", columns["avg_gt_loss"])
            found = log_truth_ratio(right, columns["average_perturb_loss"]).exp()
            assert found.tolist() == pytest.approx(columns["truth_ratio"], rel=2e-6)


def test_published_mean_ratio_and_retrained_side(tofu_logs):
    def log_r(model):
        columns = tofu_logs[model]["forget"]
        return log_truth_ratio(columns["avg_paraphrased_loss"], columns["average_perturb_loss"])

    assert log_r("full").exp().mean().item() == pytest.approx(0.57686526, abs=5.1e-9)
    assert log_r("retain90").exp().mean().item() == pytest.approx(0.92040604, abs=5.1e-9)
    assert truth_indifference(log_r("retain90")).mean().item() == pytest.approx(0.67401927, abs=5.1e-9)
    losses = tofu_logs["retain90"]["forget"]["avg_gt_loss"]
    assert probability(losses).mean().item() == pytest.approx(0.14756281, abs=5.1e-9)
