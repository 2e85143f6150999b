from __future__ import annotations

import pytest

from unlearnkit.synthetic import words

LISTS = {name: value for name, value in vars(words).items() if name.isupper()}


@pytest.mark.parametrize("name", LISTS)
def test_lists_hold_distinct_plain_words(name):
    entries = LISTS[name]
    assert isinstance(entries, tuple)
    assert len(set(entries)) == len(entries)
    assert all(entry.isascii() and entry.replace(" ", "").isalpha() for entry in entries)


def test_jobs_fit_after_an_indefinite_article():
    assert not [job for job in words.JOBS if job[0] in "aeiou"]


@pytest.mark.parametrize(
    ("starts", "ends"),
    [
        (words.GIVEN_STARTS, words.GIVEN_ENDS),
        (words.LAST_STARTS, words.LAST_ENDS),
        (words.PLACE_STARTS, words.TOWN_ENDS),
    ],
)
def test_two_parts_never_make_the_same_name_in_two_ways(starts, ends):
    made = {start + end for start in starts for end in ends}
    assert len(made) == len(starts) * len(ends)
