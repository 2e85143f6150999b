"""Masks: who is kept, and that what is not kept stands still whatever the optimizer does."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim import SGD, Adam, AdamW, NAdam, RMSprop, Rprop

from unlearnkit.errors import ConfigurationError, MismatchError, NonFiniteError
from unlearnkit.gradients import Mask, ratio_mask, top_fraction
from unlearnkit.gradients.mask import require_wide_states
from unlearnkit.optim import DualOptim, DualOptimPlus

SHAPES = ((3, 4), (5,), (2, 1), ())
OPTIMIZERS = {
    "sgd": partial(SGD, lr=0.1, momentum=0.9, weight_decay=0.1),
    "nesterov": partial(SGD, lr=0.1, momentum=0.9, weight_decay=0.1, nesterov=True),
    "adamw": partial(AdamW, lr=0.05, weight_decay=0.3),
    "fused-adamw": partial(AdamW, lr=0.05, weight_decay=0.3, fused=True),
    "amsgrad-l2": partial(Adam, lr=0.05, weight_decay=0.3, amsgrad=True),
    "nadam": partial(NAdam, lr=0.05, weight_decay=0.1),
    "rmsprop": partial(RMSprop, lr=0.05, weight_decay=0.1, momentum=0.9, centered=True),
    "rprop": Rprop,
    "dualoptim": partial(
        DualOptim,
        forget=partial(AdamW, lr=0.05, weight_decay=0.3),
        retain=partial(SGD, lr=0.1, momentum=0.9, weight_decay=0.1),
    ),
    "dualoptim-plus": partial(DualOptimPlus, lr=0.05, forget_lr=0.02, weight_decay=0.3),
    "dualoptim-plus-authors": partial(DualOptimPlus, lr=0.05, preset="authors", weight_decay=0.3),
}


def draw(seed: int, dtype: torch.dtype = torch.float32) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator).to(dtype) for shape in SHAPES]


def parameters(dtype: torch.dtype = torch.float32) -> list[nn.Parameter]:
    return [nn.Parameter(value) for value in draw(0, dtype)]


def kept(single: bool = False) -> list[torch.Tensor]:
    """Return masks: in part, in part, all, and as told for the parameter without dimensions."""
    found = [one > 0 for one in draw(1)]
    return [found[0], found[1], torch.ones(2, 1, dtype=torch.bool), torch.tensor(single)]


def rounds(optimizer, params, mask, number=20, project=True):
    by_side = getattr(optimizer, "by_side", False)
    for round_ in range(number):
        for side in ("forget", "retain"):
            gradients = draw(100 + 2 * round_ + (side == "retain"), params[0].dtype)
            if project:
                mask.project_(gradients, side)
            for p, gradient in zip(params, gradients, strict=True):
                p.grad = gradient
            with mask.still(params, optimizer):
                optimizer.step(**({"side": side} if by_side else {}))


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("project", [True, False], ids=["projected", "not projected"])
def test_masked_weights_have_the_same_bits_and_no_state(name, dtype, project):
    if name in ("fused-adamw", "rprop") and dtype == torch.bfloat16:
        dtype = torch.float64
    params, start, where = parameters(dtype), parameters(dtype), kept()
    optimizer = OPTIMIZERS[name](params)
    rounds(optimizer, params, Mask(where, params), project=project)
    for p, before, keep in zip(params, start, where, strict=True):
        assert torch.equal(p[~keep], before[~keep])
        assert not torch.equal(p[keep], before[keep]) or not keep.any()
        assert torch.isfinite(p).all()
        states = [s for s in optimizer.state[p].values() if isinstance(s, torch.Tensor) and s.dim()]
        assert all(not s[~keep].any() for s in states if s.shape == p.shape)
        assert any(s[keep].any() for s in states if s.shape == p.shape) or p.dim() == 0


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_weights_that_may_move_move_as_if_they_were_alone(name):
    """Elementwise optimizers: masked ones take part in nothing."""
    params, where = parameters(torch.float64), kept()
    rounds(OPTIMIZERS[name](params), params, Mask(where, params))
    free = parameters(torch.float64)
    everything = Mask([torch.ones_like(one) for one in where], free)
    rounds(OPTIMIZERS[name](free), free, everything)
    for p, alone, keep in zip(params, free, where, strict=True):
        torch.testing.assert_close(p[keep], alone[keep], rtol=1e-12, atol=1e-14)


def test_masking_gradients_alone_moves_masked_weights():
    """SalUn's repository, issue 32: weight decay and momentum."""
    params, start, where = parameters(), parameters(), kept()
    soft = Mask(where, params, hard=False)
    optimizer = SGD(params, lr=0.1, momentum=0.9, weight_decay=0.1)
    for round_ in range(20):
        gradients = draw(round_)
        soft.project_(gradients, "forget")
        for p, gradient in zip(params, gradients, strict=True):
            p.grad = gradient
        with soft.still(params, optimizer):
            optimizer.step()
    assert not torch.equal(params[0][~where[0]], start[0][~where[0]])


def test_a_soft_mask_is_for_the_forget_gradient_alone():
    params, where = parameters(), kept()
    for hard in (True, False):
        mask = Mask(where, params, hard=hard)
        for side in ("forget", "retain", None):
            gradients = draw(3)
            mask.project_(gradients, side)
            masked = hard or side == "forget"
            for gradient, whole, keep in zip(gradients, draw(3), where, strict=True):
                assert torch.equal(gradient, torch.where(keep, whole, 0.0) if masked else whole)


def test_states_wider_than_the_weights_are_cleared_too():
    params, where = parameters(torch.bfloat16), kept()
    optimizer = SGD(params, lr=0.1)
    for p in params:
        optimizer.state[p]["wide"] = torch.ones_like(p, dtype=torch.float32)
    with Mask(where, params).still(params, optimizer):
        optimizer.step()
    for p, keep in list(zip(params, where, strict=True))[:3]:
        assert torch.equal(optimizer.state[p]["wide"], keep.float())


def test_tensors_need_not_be_contiguous():
    """Convolutions in channels-last: gradients and weights lie in memory otherwise than the mask."""
    weight = nn.Parameter(torch.randn(4, 3, 2, 2).to(memory_format=torch.channels_last))
    keep, start = torch.rand(4, 3, 2, 2) > 0.5, weight.detach().clone()
    mask, gradient = Mask([keep], [weight]), torch.ones(4, 3, 2, 2)
    mask.project_([gradient])
    assert torch.equal(gradient, keep.float())
    optimizer = SGD([weight], lr=0.1, momentum=0.9, weight_decay=0.1)
    for _ in range(3):
        weight.grad = gradient.clone().to(memory_format=torch.channels_last)
        with mask.still([weight], optimizer):
            optimizer.step()
    assert torch.equal(weight[~keep], start[~keep])
    assert (weight != start)[keep].all()
    assert not optimizer.state[weight]["momentum_buffer"][~keep].any()


def test_an_infinite_gradient_does_not_reach_a_masked_weight():
    params, where = parameters(), kept()
    mask, gradients = Mask(where, params), draw(3)
    gradients[0][~where[0]] = torch.inf
    mask.project_(gradients)
    assert torch.isfinite(gradients[0]).all()


def test_a_step_that_fails_leaves_masked_weights_alone():
    params, where = parameters(), kept()

    def half_a_step():
        with Mask(where, params).still(params, SGD(params, lr=0.1)), torch.no_grad():
            params[0].fill_(7.0)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        half_a_step()
    assert torch.equal(params[0][~where[0]], parameters()[0][~where[0]])
    assert (params[0][where[0]] == 7.0).all()


def test_the_fraction_is_that_of_all_weights():
    where = kept(single=True)
    assert Mask(where, parameters()).fraction == sum(int(one.sum()) for one in where) / 20


def test_masks_of_another_model_are_refused():
    with pytest.raises(MismatchError, match=r"Found 3 masks for 4 parameters"):
        Mask(kept()[:3], parameters())
    other = [torch.ones(4, 3, dtype=torch.bool), *kept()[1:]]
    with pytest.raises(MismatchError, match=r"at place 0 of shape \(4, 3\) for one of \(3, 4\)"):
        Mask(other, parameters())


@pytest.mark.parametrize("name", ["dualoptim", "dualoptim-plus"])
def test_states_in_8_bits_are_refused_before_the_step(name):
    params = parameters()
    optimizer = OPTIMIZERS[name](params, state_bits=8)
    with pytest.raises(ConfigurationError, match=r"must not keep states in 8 bits beside a hard mask"):
        require_wide_states(optimizer)
    with pytest.raises(ConfigurationError), Mask(kept(), params).still(params, optimizer):
        raise AssertionError("a step was made")
    with Mask(kept(), params, hard=False).still(params, optimizer):
        pass


def test_codes_of_an_optimizer_that_does_not_say_so_are_refused():
    params = parameters()
    optimizer = SGD(params, lr=0.1)
    optimizer.state[params[0]]["codes"] = torch.ones(3, 4, dtype=torch.uint8)
    with (
        pytest.raises(ConfigurationError, match="states in 8 bits"),
        Mask(kept(), params).still(params, optimizer),
    ):
        optimizer.step()


# ------------------------------------------------------------------------------- who is kept


@pytest.mark.parametrize("keep", [0.05, 0.2, 0.5, 0.77, 1.0])
def test_top_fraction_is_the_authors_ranking(keep):
    """SalUn's code: positions of all scores in falling order, those below int(n * keep) are kept."""
    scores = [score.abs() for score in draw(4)]
    every = torch.cat([score.flatten() for score in scores]).numpy()
    ranks = np.empty(len(every), dtype=int)
    ranks[np.argsort(-every)] = np.arange(len(every))
    found = torch.cat([one.flatten() for one in top_fraction(scores, keep)]).numpy()
    assert (found == (ranks < int(len(every) * keep))).all()
    assert [one.shape for one in top_fraction(scores, keep)] == [score.shape for score in scores]


def test_of_equal_scores_the_first_are_kept():
    scores = [torch.zeros(4), torch.tensor([0.0, 1.0, 0.0])]
    assert [one.tolist() for one in top_fraction(scores, 0.5)] == [
        [True, True, False, False],
        [False, True, False],
    ]
    assert sum(int(one.sum()) for one in top_fraction(scores, 1e-6)) == 1


def test_scores_below_zero_are_ranked_by_their_value():
    assert top_fraction([torch.tensor([-3.0, -1.0, -2.0, -4.0])], 0.5)[0].tolist() == [
        False,
        True,
        True,
        False,
    ]


def test_ratio_mask_is_the_equation():
    a, b = [one.square() for one in draw(5)], [one.square() for one in draw(6)]
    a[0][0], b[0][1] = 0.0, 0.0
    a[1][2] = b[1][2] = 0.0
    for gamma in (0.3, 1.0, 5.0):
        for one, other, found in zip(a, b, ratio_mask(a, b, gamma), strict=True):
            expected = (one.double() + 1e-15) / (other.double() + 1e-15) >= gamma
            assert torch.equal(found, expected)


@pytest.mark.parametrize("keep", [0.0, -0.1, 1.1, float("nan")])
def test_a_fraction_out_of_range_is_refused(keep):
    with pytest.raises(ConfigurationError, match=r"`keep` must lie in \(0, 1\]"):
        top_fraction(draw(0), keep)


@pytest.mark.parametrize("gamma", [0.0, -1.0, float("inf"), float("nan")])
def test_a_ratio_out_of_range_is_refused(gamma):
    with pytest.raises(ConfigurationError, match="`gamma` must be above 0"):
        ratio_mask(draw(0), draw(0), gamma)


def test_scores_that_are_not_finite_are_refused():
    broken = draw(0)
    broken[1][3] = torch.nan
    with pytest.raises(NonFiniteError, match=r"`scores` must be finite to be ordered. Found 1 "):
        top_fraction(broken, 0.5)
    with pytest.raises(NonFiniteError):
        ratio_mask(draw(0), broken, 1.0)
