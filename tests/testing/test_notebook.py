"""The first cell of a notebook makes it repeatable and quiet."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from unlearnkit.errors import ConfigurationError
from unlearnkit.testing.notebook import set_up

DRAWS = """
import json, logging, random, warnings
import numpy, torch, matplotlib
from unlearnkit.testing.notebook import set_up
notebook = set_up(seed=3)
with warnings.catch_warnings(record=True) as caught:
    warnings.warn("`isinstance(treespec, LeafSpec)` is deprecated", FutureWarning)
draws = [random.random(), numpy.random.rand(), torch.rand(()).item()]
print(json.dumps({
    "draws": draws, "threads": torch.get_num_threads(), "caught": len(caught),
    "deterministic": torch.are_deterministic_algorithms_enabled(), "trainer": notebook.trainer,
    "level": logging.getLogger("lightning.pytorch").level, "font": matplotlib.rcParams["xtick.labelsize"],
}))
"""


@pytest.fixture(scope="module")
def twice():
    def run():
        found = subprocess.run([sys.executable, "-c", DRAWS], capture_output=True, text=True, check=True)
        return json.loads(found.stdout), found.stderr

    return run(), run()


def test_the_same_seed_gives_the_same_draws(twice):
    (first, _), (second, _) = twice
    assert first["draws"] == second["draws"]


def test_what_it_sets(twice):
    found, errors = twice[0]
    assert errors == ""
    assert found["threads"] == 1 and found["deterministic"] is True
    assert found["caught"] == 0, "the warning about LeafSpec gets through"
    assert found["level"] == 40 and found["font"] == 9.0
    assert found["trainer"]["accelerator"] == "cpu" and found["trainer"]["logger"] is False


def test_a_negative_seed_is_refused():
    with pytest.raises(ConfigurationError, match="`seed` must be 0 or above. Found -1. Use seed=0."):
        set_up(-1)
