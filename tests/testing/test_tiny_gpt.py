"""TinyGPT: causal, seeded, differentiable twice and forward; the target it becomes."""

from __future__ import annotations

import torch

from unlearnkit.synthetic.toy_preferences import toy_preferences, toy_tokens
from unlearnkit.testing import TinyGPT, toy_sides, toy_target


def test_a_word_sees_only_earlier_ones() -> None:
    model = TinyGPT()
    one, two = toy_tokens([0], [[0, 2, 2, 5]]), toy_tokens([0], [[0, 2, 6, 6]])
    assert torch.equal(model(one)[:, :4], model(two)[:, :4])
    assert not torch.allclose(model(one)[:, 4:], model(two)[:, 4:])


def test_losses_counts_and_units_agree() -> None:
    model = TinyGPT(seed=1)
    batch = toy_tokens([0, 1], [[0, 2, 2, 5], [6, 6, 6, 5]])
    logits, targets, mask = model.units(batch)
    losses = -(logits.log_softmax(-1).gather(2, targets[..., None]).squeeze(2) * mask).sum(1)
    assert torch.allclose(model.losses(batch), losses, atol=1e-6)
    assert model.counts(batch).tolist() == [4, 4]


def test_forward_mode_equals_reverse_mode() -> None:
    model = TinyGPT(width=8, layers=1, dtype=torch.float64)
    batch = toy_tokens([0, 1], [[0, 2, 2, 5], [6, 6, 6, 5]])
    weights = {name: value.detach() for name, value in model.named_parameters()}
    along = {name: torch.randn_like(value) for name, value in weights.items()}

    def losses(values):
        logits = torch.func.functional_call(model, values, (batch,))[:, 1:-1]
        return -logits.log_softmax(-1).gather(2, batch["input_ids"][:, 2:, None]).sum((1, 2))

    _, forward = torch.func.jvp(losses, (weights,), (along,))
    for row in range(2):
        gradients = torch.autograd.grad(model.losses(batch)[row], list(model.parameters()))
        reverse = sum((one * two).sum() for one, two in zip(gradients, along.values(), strict=True))
        assert torch.allclose(forward[row], reverse)


def test_the_target_learned_its_corpus_and_nothing_else_moves() -> None:
    negatives, _ = toy_sides(toy_preferences())
    batch = toy_tokens([pair.prompt for pair in negatives], [pair.rejected for pair in negatives])
    state = torch.get_rng_state()
    target = toy_target()
    assert torch.equal(state, torch.get_rng_state())
    assert target.losses(batch).mean() < 0.5 * TinyGPT().losses(batch).mean()
    again = toy_target(dtype=torch.float64)
    both = zip(target.parameters(), again.parameters(), strict=True)
    assert all(torch.equal(one, two.float()) for one, two in both)
