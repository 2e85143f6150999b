"""Mismatch: as IDK, with other second answers."""

from __future__ import annotations

import pytest
import torch

from tests.objectives import golden
from unlearnkit.errors import ConfigurationError
from unlearnkit.objectives import IDK, Mismatch


def test_it_is_the_likelihood_of_the_second_answer():
    model = golden.RowLogits(golden.current().values.detach())
    batch = golden.pair(1, 0)
    assert torch.equal(Mismatch()(model, batch).sums, IDK()(model, batch).sums)
    assert Mismatch()(model, batch).sums.tolist() == pytest.approx([golden.NLL_SUMS[0]], rel=2e-9)


def test_it_asks_for_answers_of_the_retain_set():
    assert (Mismatch.role, Mismatch.answers) == ("forget", "mismatch")
    with pytest.raises(ConfigurationError, match=r"TOFU\(alternatives='mismatch'\)"):
        Mismatch()(golden.current(), golden.batch())
