"""Statistics and gradient norms equal naive ones, row by row, for whatever batches."""

from __future__ import annotations

import pytest
import torch

from tests.models.test_scoring import some_pairs
from tests.models.tiny_networks import CONTEXT, VOCABULARY, tiny
from unlearnkit.errors import ConfigurationError, DataError
from unlearnkit.models.scoring import score
from unlearnkit.models.token_statistics import gradient_norms, token_statistics


@pytest.mark.parametrize("batch_tokens", [1, 256])
@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_equals_row_by_row(kind: str, batch_tokens: int) -> None:
    model, pairs = tiny(kind).eval(), some_pairs(20)
    found = token_statistics(model, pairs, context_length=CONTEXT, batch_tokens=batch_tokens)
    for (prompt, answer), one in zip(pairs, found, strict=True):
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([prompt + answer])).logits[0, len(prompt) - 1 : -1].double()
        whole = logits.log_softmax(-1)
        mean = (whole.exp() * whole).sum(-1)
        sigma = ((whole.exp() * whole.square()).sum(-1) - mean.square()).clamp_min(1e-6).sqrt()
        own = whole[range(len(answer)), answer]
        assert one.log_probs == pytest.approx(own.tolist(), rel=1e-4, abs=1e-5)
        assert one.z_scores == pytest.approx(((own - mean) / sigma).tolist(), rel=1e-3, abs=1e-4)


def test_log_probabilities_are_those_of_scoring() -> None:
    model, pairs = tiny("llama"), some_pairs(8)
    found = token_statistics(model, pairs, context_length=CONTEXT)
    scores = score(model, pairs, context_length=CONTEXT)
    assert [-sum(one.log_probs) for one in found] == pytest.approx([one.nll for one in scores], rel=1e-5)
    assert all(sum(one.hits) == one.matched and len(one.hits) == one.tokens for one in scores)


def test_a_certain_model_has_finite_z_scores() -> None:
    model = tiny("llama")
    with torch.no_grad():
        model.get_output_embeddings().weight.mul_(1e4)
    found = token_statistics(model, some_pairs(4), context_length=CONTEXT)
    assert all(torch.tensor(one.z_scores).isfinite().all() for one in found)


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_gradient_norms_are_those_of_backward(kind: str) -> None:
    model, pairs = tiny(kind), some_pairs(5)
    model.train()
    before = torch.full((), 7.0)
    next(model.parameters()).grad = before.expand_as(next(model.parameters())).clone()
    found = gradient_norms(model, pairs, context_length=CONTEXT)
    assert model.training and float(next(model.parameters()).grad.mean()) == 7.0
    model.eval()
    for (prompt, answer), norm in zip(pairs, found, strict=True):
        model.zero_grad()
        labels = torch.tensor([[-100] * len(prompt) + answer])
        model(input_ids=torch.tensor([prompt + answer]), labels=labels).loss.backward()
        norms = [float(p.grad.norm()) for p in model.parameters()]
        assert norm == pytest.approx(sum(norms) / len(norms), rel=1e-4)


def test_gradients_exist_in_inference_mode() -> None:
    model, pairs = tiny("llama"), some_pairs(2)
    with torch.inference_mode():
        inside = gradient_norms(model, pairs, context_length=CONTEXT)
    assert inside == gradient_norms(model, pairs, context_length=CONTEXT)


def test_a_model_that_learns_nothing_is_refused() -> None:
    model = tiny("llama").requires_grad_(False)
    with pytest.raises(ConfigurationError, match="`attacks` with 'gradnorm' needs weights that require"):
        gradient_norms(model, some_pairs(1), context_length=CONTEXT)


@pytest.mark.parametrize("measure", [token_statistics, gradient_norms])
def test_what_cannot_be_scored_is_refused(measure: object) -> None:
    for sequences in ([([], [1])], [([1] * CONTEXT, [VOCABULARY - 1])]):
        with pytest.raises(DataError, match="`sequences` must"):
            measure(tiny("llama"), sequences, context_length=CONTEXT)  # type: ignore[operator]
