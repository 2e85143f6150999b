from __future__ import annotations

import pytest

from unlearnkit.synthetic import news_words


@pytest.mark.parametrize("name", ["OUTLET_ENDS", "WEEKDAYS", "HELPERS", "CAUSES", "QUOTES", "ENDINGS"])
def test_lists_hold_different_entries_that_fit_their_sentences(name):
    entries = getattr(news_words, name)
    assert len(set(entries)) == len(entries) >= 7
    assert all(entry == entry.strip() and entry for entry in entries)
    assert all(entry.endswith(".") == (name == "ENDINGS") for entry in entries)
