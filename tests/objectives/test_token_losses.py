"""token_losses: what the weighted ascents weigh."""

from __future__ import annotations

import pytest

from tests.objectives import golden
from unlearnkit.objectives.token_losses import token_losses


def test_they_add_up_to_the_models_own_losses():
    losses, mask = token_losses(golden.current(), golden.batch())
    assert losses.sum(-1).tolist() == pytest.approx(golden.NLL_SUMS, rel=2e-9)
    assert mask.sum(-1).tolist() == golden.COUNTS
    assert losses[~mask].abs().max() == 0
