"""IDK: the likelihood of the second answer."""

from __future__ import annotations

import pytest

from tests.objectives import golden
from tests.objectives.naive import lengths, random_batch, random_lm, sequence_sums
from unlearnkit.errors import ConfigurationError
from unlearnkit.objectives import IDK


def test_only_the_second_answer_counts():
    model = golden.RowLogits(golden.current().values.detach())
    value = IDK()(model, golden.pair(0, 1))
    assert value.sums.tolist() == pytest.approx([golden.NLL_SUMS[1]], rel=2e-9)
    assert value.counts.tolist() == [golden.COUNTS[1]]
    value.sums.sum().backward()
    assert model.values.grad[0].abs().max() == 0


def test_without_second_answers_it_says_where_to_get_them():
    with pytest.raises(
        ConfigurationError, match=r"Use the data module TOFU, or TOFU\(alternatives='refusals'\)"
    ):
        IDK()(golden.current(), golden.batch())


def test_role_and_answers():
    assert (IDK.role, IDK.answers, IDK.needs_reference) == ("forget", "refusals", False)


def test_equals_the_sums_over_refusals_of_a_random_language_model():
    model, batch = random_lm(0), random_batch()
    value = IDK()(model, batch)
    assert value.sums.tolist() == pytest.approx(sequence_sums(model, batch["alternative"]), rel=1e-4)
    assert value.counts.tolist() == lengths(batch["alternative"])
