from __future__ import annotations

import math
import warnings
from itertools import combinations

import pytest
from hypothesis import given, reject
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from unlearnkit.errors import DataError, MismatchError
from unlearnkit.metrics.functional.forget_quality import forget_quality, ks_exact, ks_log10_floor
from unlearnkit.metrics.functional.memorisation import log_truth_ratio

NUMBER = st.floats(min_value=-50, max_value=50)
DISTINCT = st.integers(min_value=2, max_value=40).flatmap(
    lambda n: st.lists(NUMBER, min_size=2 * n, max_size=2 * n, unique=True)
)


def scipy_exact(a, b):
    """Return SciPy's exact result; reject the example where SciPy gives up and takes its asymptotic formula.

    It does so where counting overflows, and where rounding lifts a p-value of 1 just above 1.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        try:
            return ks_2samp(a, b, method="exact")
        except RuntimeWarning:
            reject()


@given(DISTINCT)
def test_equals_scipy_exact(values):
    n = len(values) // 2
    found, expected = ks_exact(values[:n], values[n:]), scipy_exact(values[:n], values[n:])
    assert found.statistic == pytest.approx(expected.statistic, rel=1e-12)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-9)
    assert found.log10_p == pytest.approx(math.log10(found.p), abs=1e-12)


@given(st.lists(NUMBER, min_size=2, max_size=30), st.lists(NUMBER, min_size=2, max_size=30))
def test_equals_scipy_exact_with_unequal_sizes_and_ties(a, b):
    found, expected = ks_exact(a, b, allow_unequal=True), scipy_exact(a, b)
    assert found.statistic == pytest.approx(expected.statistic, rel=1e-12)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-9)


def test_the_least_distance_has_p_one_where_scipy_rounds_above_it():
    """With distinct values D is at least 1/n: an exact p of 1, which SciPy's sum overshoots for n = 7."""
    a, b = [0.0, 4.0, 1.5, 0.5, -2.0, -3.0, -5.0], [-0.5, 1.0, 2.0, 3.0, -1.0, -4.0, -6.0]
    found = ks_exact(a, b)
    assert (found.statistic, found.p, found.log10_p) == (1 / 7, 1.0, 0.0)


@pytest.mark.parametrize(("n", "m"), [(2, 2), (4, 4), (3, 5), (4, 6)])
def test_equals_counting_all_arrangements(n, m):
    everything = range(n + m)
    arrangements = [
        ks_exact(chosen, [x for x in everything if x not in chosen], allow_unequal=True)
        for chosen in combinations(everything, n)
    ]
    for one in arrangements:
        as_far = sum(other.statistic >= one.statistic - 1e-12 for other in arrangements)
        assert one.p == pytest.approx(as_far / len(arrangements), rel=1e-12)


@given(DISTINCT, st.randoms(use_true_random=False))
def test_symmetric_bounded_and_indifferent_to_order_and_monotone_maps(values, chance):
    n = len(values) // 2
    a, b = values[:n], values[n:]
    result = ks_exact(a, b)
    assert 0 < result.p <= 1
    assert 0 < result.statistic <= 1
    assert result.log10_floor - 1e-9 <= result.log10_p <= 0
    swapped = ks_exact(b, a)
    assert (swapped.statistic, swapped.p) == (result.statistic, result.p)
    assert ks_exact(chance.sample(a, n), chance.sample(b, n)) == result
    assert ks_exact([8 * x for x in a], [8 * x for x in b]) == result


@given(st.integers(min_value=2, max_value=60), st.integers(min_value=1, max_value=60))
def test_p_falls_as_samples_part(n, shift):
    a = list(range(n))
    p = [ks_exact(a, [x + 0.5 + k for x in a]).log10_p for k in (0, shift)]
    assert p[1] <= p[0]


@pytest.mark.parametrize(
    ("n", "floor"), [(40, 1.860e-23), (200, 1.943e-119), (300, 1.480e-179), (400, 1.064e-239)]
)
def test_floors_of_tofu(n, floor):
    assert 10 ** ks_log10_floor(n) == pytest.approx(floor, rel=5e-4)
    apart = ks_exact(range(n), range(n, 2 * n))
    assert apart.statistic == 1.0
    assert apart.log10_p == pytest.approx(apart.log10_floor, rel=1e-12)
    assert apart.p == pytest.approx(floor, rel=5e-4)


def test_no_underflow_of_the_logarithm():
    apart = ks_exact(range(4000), range(4000, 8000))
    assert apart.p == 0.0
    assert apart.log10_p == pytest.approx(ks_log10_floor(4000), rel=1e-12)
    assert apart.log10_p == pytest.approx(
        (math.log(2) + 2 * math.lgamma(4001) - math.lgamma(8001)) / math.log(10), rel=1e-9
    )


def test_a_model_beside_itself_has_p_one():
    same = ks_exact([3.0, 1.0, 2.0], [1.0, 2.0, 3.0])
    assert (same.statistic, same.p, same.log10_p) == (0.0, 1.0, 0.0)


def test_collapsed_rows_count_as_the_largest():
    result = ks_exact([math.inf] * 5, [1.0, 2.0, 3.0, 4.0, 5.0])
    assert result.statistic == 1.0
    assert ks_exact([math.inf] * 5, [math.inf] * 5).p == 1.0


@pytest.mark.parametrize(
    ("sample", "reference", "error", "message"),
    [
        ([1.0, 2.0], [1.0, 2.0, 3.0], MismatchError, r"`reference` .* Found 3 for 2.*same forget rows"),
        ([1.0], [1.0], DataError, r"`sample` must hold at least 2 rows. Found 1"),
        ([1.0, 2.0], [], DataError, r"`reference` must hold at least 2 rows. Found 0"),
        ([1.0, math.nan], [1.0, 2.0], DataError, r"`sample` must not hold NaN"),
    ],
)
def test_refusals(sample, reference, error, message):
    with pytest.raises(error, match=message):
        forget_quality(sample, reference)


@pytest.mark.parametrize(
    ("mean", "statistic", "p"),
    [
        ("geometric", 119 / 300, 1.834066410994743e-21),
        ("arithmetic", 123 / 300, 6.0319115698e-23),
    ],
)
def test_published_pair(tofu_logs, mean, statistic, p):
    samples = {}
    for model in ("full", "retain90"):
        columns = tofu_logs[model]["forget"]
        samples[model] = log_truth_ratio(
            columns["avg_paraphrased_loss"], columns["average_perturb_loss"], mean
        )
    found = forget_quality(samples["full"].tolist(), samples["retain90"].tolist())
    assert (found.n, found.n_reference) == (300, 300)
    assert found.statistic == statistic
    assert found.p == pytest.approx(p, rel=1e-10)
    ratios = ks_2samp(samples["full"].exp(), samples["retain90"].exp(), method="exact")
    assert found.p == pytest.approx(ratios.pvalue, rel=1e-12)
    if mean == "geometric":
        assert found.log10_p == pytest.approx(-20.7366, abs=5e-5)
    itself = forget_quality(samples["full"].tolist(), samples["full"].tolist())
    assert (itself.statistic, itself.p) == (0.0, 1.0)
