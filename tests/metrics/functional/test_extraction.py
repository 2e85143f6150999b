"""Both measures against the loops they come from."""

from __future__ import annotations

import itertools

import pytest

from unlearnkit.errors import ConfigurationError, DataError
from unlearnkit.metrics.functional import exact_memorisation, extraction_strength


def all_rows(longest=6):
    return [row for n in range(1, longest + 1) for row in itertools.product([False, True], repeat=n)]


def open_unlearning(hits):
    """Its loop: the first k whose suffix is right, or the last k of all."""
    for k in range(len(hits)):
        if all(hits[k:]):
            break
    return 1 - k / len(hits)


def fraction(hits):
    return max((len(hits) - k) / len(hits) for k in range(len(hits) + 1) if all(hits[k:]))


@pytest.mark.parametrize("hits", all_rows())
def test_every_short_row(hits):
    assert extraction_strength(hits) == pytest.approx(fraction(hits))
    assert extraction_strength(hits, "open-unlearning") == pytest.approx(open_unlearning(hits))
    assert exact_memorisation(hits) == sum(hits) / len(hits)
    assert extraction_strength(hits) <= exact_memorisation(hits)


def test_the_conventions_differ_where_the_last_token_is_missed():
    for hits in all_rows():
        same = extraction_strength(hits) == extraction_strength(hits, "open-unlearning")
        assert same == hits[-1]


@pytest.mark.parametrize("measure", [exact_memorisation, extraction_strength])
def test_no_tokens_is_an_error(measure):
    with pytest.raises(DataError, match="`hits` must hold at least one token"):
        measure([])


def test_an_unknown_convention():
    with pytest.raises(ConfigurationError, match="`convention` must be 'fraction' or"):
        extraction_strength([True], "ou")
