"""The pool of two processes that all distributed tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.distributed.pool import Pool


@pytest.fixture(scope="session")
def pool() -> Iterator[Pool]:
    """Return the pool; its workers start with the first call and end with the session."""
    found = Pool()
    yield found
    found.close()
