"""InnerProblem: gradients and Hessian products of weighted losses, and how ranks share the scoring."""

from __future__ import annotations

import pytest
import torch

from tests.alignment.bilevel import SAMPLES, Bilevel
from unlearnkit.errors import ConfigurationError
from unlearnkit.gradients import InnerProblem


def weights(seed=0):
    return torch.rand(SAMPLES, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_gradient_is_that_of_the_weighted_sum():
    exact, w = Bilevel(), weights()
    want = torch.autograd.grad((w * exact.losses(exact.all)).sum(), list(exact.model.parameters()))
    torch.testing.assert_close(exact.problem.gradient(w), list(want), rtol=1e-13, atol=1e-15)


def test_hessian_product_is_that_of_autograd_and_leaves_the_model_alone():
    exact, w = Bilevel(), weights()
    before = exact.model.theta.detach().clone()
    v = torch.linspace(-1, 2, 6, dtype=torch.float64)
    whole = (w * exact.losses(exact.all)).sum()
    (first,) = torch.autograd.grad(whole, [exact.model.theta], create_graph=True)
    (want,) = torch.autograd.grad(first @ v, [exact.model.theta])
    (found,) = exact.problem.hessian_product([v], w)
    torch.testing.assert_close(found, want, rtol=1e-7, atol=1e-8)
    assert torch.equal(exact.model.theta, before)
    assert exact.problem.hessian_product([torch.zeros_like(v)], w)[0].tolist() == [0.0] * 6


def test_batches_without_weight_are_not_evaluated():
    exact, w = Bilevel(), weights()
    seen = []
    problem = InnerProblem(
        exact.model, lambda b: (seen.append(len(b["index"])), exact.losses(b))[1], exact.batches
    )
    w[:7] = 0
    w[14:] = 0
    problem.gradient(w)
    assert seen == [7]
    part, own = problem.weighed_part(w)
    assert torch.equal(part.rows, exact.batches[1]["index"])
    assert own.sum().item() == pytest.approx(1.0)
    with pytest.raises(ConfigurationError, match="above 0 for a candidate. Found none"):
        problem.weighed_part(torch.zeros(SAMPLES))


@pytest.mark.parametrize("world", [2, 3, 5])
def test_ranks_share_the_batches_and_add_up_to_the_bits_of_one_process(world):
    """Also with more ranks than batches."""
    exact = Bilevel()
    v = exact.gradient()
    want, parts, seen = exact.problem.products(v), [], []
    for rank in range(world):
        counted = []
        problem = InnerProblem(
            exact.model,
            lambda b, counted=counted: (counted.append(int(b["index"][0])), exact.losses(b))[1],
            exact.batches,
            (rank, world),
            lambda value: (parts.append(value.clone()), value)[1],
        )
        problem.products(v)
        seen += sorted(set(counted))
    assert sorted(seen) == [int(batch["index"][0]) for batch in exact.batches]
    assert torch.equal(torch.stack(parts).sum(0), want)
