from __future__ import annotations

import pytest

from unlearnkit.errors import ConfigurationError
from unlearnkit.synthetic.arguments import require_integer


@pytest.mark.parametrize("found", [0, 11, True, 2.0, "3", None])
def test_what_is_no_integer_in_the_range_is_refused(found):
    with pytest.raises(ConfigurationError, match="`rows` must be an integer from 1 to 10. Found"):
        require_integer("rows", found, 1, 10)


def test_without_an_upper_bound_the_rule_says_so():
    require_integer("seed", 10**9, 0)
    with pytest.raises(ConfigurationError, match=r"`seed` must be an integer of at least 0\. Found -1\."):
        require_integer("seed", -1, 0)
