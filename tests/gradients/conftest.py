"""The fitted network that tests of GeN start from."""

import pytest

from tests.gradients.gen_toys import fitted


@pytest.fixture(scope="session")
def trained():
    return fitted()
