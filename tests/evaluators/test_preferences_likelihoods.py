"""Batches by length change nothing; equal pairs go through the model once."""

from __future__ import annotations

import pytest
import torch

from tests.evaluators.preferences_stand_ins import Data, trained
from unlearnkit.errors import MismatchError
from unlearnkit.evaluators.preferences_likelihoods import kl_sums, score_each
from unlearnkit.models import CausalLM


def pairs():
    data = Data()
    return [
        data.encode(row.prompt, text)
        for row in data.evaluation_sets["test"]
        for text in (row.chosen, row.rejected)
    ]


def test_divergences_do_not_depend_on_the_batch() -> None:
    whole = kl_sums(trained(0), trained(1), pairs(), 10_000)
    assert kl_sums(trained(0), trained(1), pairs(), 1) == pytest.approx(whole, rel=1e-4)
    assert kl_sums(trained(0), trained(0), pairs(), 64) == [0.0] * len(whole)
    assert min(whole) > 0 and kl_sums(trained(0), trained(1), [], 64) == []
    assert all(model.training for model in (trained(0).network, trained(1).network))


def test_another_vocabulary_is_refused() -> None:
    class Fewer:
        pad_token_id, bos_token_id, eos_token_id = 0, 1, 2

        def __len__(self) -> int:
            return len(Data().tokenizer) - 1

    other = CausalLM(hidden_size=16, layers=1, heads=2, max_length=96)
    other.materialize(Fewer())
    few = [([1, 2], [3])]
    with pytest.raises(MismatchError, match="Use a model with the same vocabulary"):
        kl_sums(trained(0), other, few, 64)


def test_equal_pairs_are_scored_once() -> None:
    class Counting(CausalLM):
        asked = 0

        def score_ids(self, sequences, batch_tokens=64):
            self.asked += len(sequences)
            return super().score_ids(sequences, batch_tokens)

    model = Counting(hidden_size=16, layers=1, heads=2, max_length=96)
    model.materialize(Data().tokenizer)
    twice = pairs() * 2
    found = score_each(model, twice, 256)
    assert model.asked == len({(tuple(a), tuple(b)) for a, b in twice}) < len(twice)
    assert [one.nll for one in found[: len(found) // 2]] == [one.nll for one in found[len(found) // 2 :]]
    assert all(torch.isfinite(torch.tensor(one.nll)) for one in found)
