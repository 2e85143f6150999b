"""Scalability and sustainability over evaluations of several requests."""

from __future__ import annotations

from typing import Any

import pytest

from unlearnkit.errors import DataError, MismatchError
from unlearnkit.evaluators import scalability, sustainability


def made(request: str, documents: int, utility: float | None, **facts: Any) -> dict[str, Any]:
    known = {"format": 1, "tokenizer_hash": "t", "corpus": "News", "prompts_hash": "p", "n": {"verbmem": 3}}
    known |= {"request": request, "forget_documents": documents}
    return {"benchmark": "muse", "comparability": known | facts, "summary": {"retain_knowmem": utility}}


SCAL = [made(f"scal_{k}", 10 * k, 0.6 - 0.05 * k) for k in (1, 2, 3, 4)]
SUST = [made(f"sust_{k}", 10, 0.6 - 0.1 * k) for k in (1, 2, 3)]


def test_scalability_is_per_document():
    found = scalability(SCAL)
    assert found.slope == pytest.approx(-0.005) and found.worst == pytest.approx(0.4)
    assert scalability(SCAL[::3]).slope == pytest.approx(-0.005)


def test_sustainability_is_per_request():
    found = sustainability(SUST)
    assert found.slope == pytest.approx(-0.1) and found.changes[-1] == pytest.approx(-0.2)


def test_requests_must_be_in_their_order():
    with pytest.raises(DataError, match="must be of requests that grow. Found"):
        scalability(SCAL[::-1])
    with pytest.raises(DataError, match="must be of sust_1, sust_2 in this order. Found sust_2, sust_3"):
        sustainability(SUST[1:])
    with pytest.raises(DataError, match="at least two requests"):
        sustainability(SUST[:1])


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(MismatchError, match="the same tokenizer_hash as the first one, 't'. Found 'u'"):
        sustainability([SUST[0], made("sust_2", 10, 0.5, tokenizer_hash="u")])
    with pytest.raises(MismatchError, match="the same benchmark"):
        sustainability([SUST[0], SUST[1] | {"benchmark": "tofu"}])


def test_a_missing_number_is_named():
    with pytest.raises(DataError, match="Found none of 'retain_knowmem' in number 1"):
        sustainability([SUST[0], made("sust_2", 10, None)])
    with pytest.raises(DataError, match="Found none of 'privleak' in number 0"):
        sustainability(SUST, "privleak")
