from __future__ import annotations

import math

import pytest

from unlearnkit.errors import DataError, MismatchError
from unlearnkit.metrics import OwnPerplexity, ReferencePerplexity
from unlearnkit.metrics.functional import perplexity

NLL, TOKENS = [3.0, 1.0, 0.5], [1, 3, 2]


@pytest.mark.parametrize("kind", [OwnPerplexity, ReferencePerplexity])
def test_it_equals_its_function_in_batches(kind):
    metric = kind()
    metric.update(NLL[:1], TOKENS[:1])
    metric.update(NLL[1:], TOKENS[1:])
    assert metric.compute().item() == pytest.approx(perplexity(NLL, TOKENS))
    metric.update([math.inf], [1])
    assert metric.compute().item() == math.inf


def test_what_is_wrong_is_named(two_ranks):
    with pytest.raises(DataError, match="`OwnPerplexity` must have seen at least one token"):
        OwnPerplexity().compute()
    with pytest.raises(MismatchError, match="Found 1 for 3"):
        OwnPerplexity().update(NLL, [1])
    value, _ = two_ranks(OwnPerplexity, lambda metric, rank: rank and metric.update(NLL, TOKENS))
    assert value.item() == pytest.approx(perplexity(NLL, TOKENS))
