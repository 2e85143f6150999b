"""The package itself: lazy names, and a stated direction on every metric."""

from __future__ import annotations

import subprocess
import sys

import pytest

from unlearnkit import metrics


@pytest.mark.parametrize("name", metrics.__all__)
def test_every_metric_says_what_is_better(name):
    metric = getattr(metrics, name)
    if metric.higher_is_better is None:
        assert metric.ideal
    else:
        assert isinstance(metric.higher_is_better, bool)
        assert metric.ideal is None
    assert metric.full_state_update is False
    words = metric.__doc__.split("Args:")[0]
    assert any(direction in words for direction in ("Up", "Down", "Ideal: near"))


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="no attribute 'Perplexity'"):
        _ = metrics.Perplexity
    assert sorted(dir(metrics)) == sorted(metrics.__all__)


def test_functions_load_no_torchmetrics_and_names_no_torch():
    code = (
        "import sys, unlearnkit.metrics as m; assert len(m.__all__) > 10; assert 'torch' not in sys.modules; "
        "import unlearnkit.metrics.functional; "
        "loaded = {'torchmetrics', 'nltk', 'scipy', 'lightning'} & set(sys.modules); assert not loaded, loaded"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
