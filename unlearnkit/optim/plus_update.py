"""The arithmetic of one DualOptim+ step on lists of tensors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

CPU_BLOCK = 2**18
"""Elements worked on at a time on the CPU: its cache holds a block's tensors from one operation to the next; in smaller
blocks the calls cost more than they save."""


@dataclass(frozen=True)
class PlusRule:
    """How base and delta make an update.

    Attributes:
        order: Whether the residual is taken against the base before this gradient (``lagged``) or with it.
        second_moment: Base and delta as for the first moment, one average a side, or one for both.
        betas: Decay of the deltas' first and second moment.
        base_betas: Decay of the base's.
        eps: Added to the square root of the second moment.
        negative: Whether a negative second moment is taken by its absolute value, or as zero.
        v_floor: Smallest second moment, in units of the base's (``plus``) or of the squared base (``decoupled``).
    """

    order: Literal["current", "lagged"]
    second_moment: Literal["plus", "decoupled", "shared"]
    betas: tuple[float, float]
    base_betas: tuple[float, float]
    eps: float = 1e-8
    negative: Literal["abs", "floor"] = "floor"
    v_floor: float = 0.0


@dataclass
class Moments:
    """Local tensors of some parameters, each list in the same order; a list that the rule has no use for is empty."""

    parameters: list[Tensor]
    gradients: list[Tensor]
    base: list[Tensor]
    delta: list[Tensor]
    base_square: list[Tensor]
    square: list[Tensor]

    def lists(self) -> list[list[Tensor]]:
        """Return the six lists."""
        return [self.parameters, self.gradients, self.base, self.delta, self.base_square, self.square]

    def plain(self) -> bool:
        """Say whether torch's fused code can walk through them side by side: contiguous, of one type, on the CPU."""
        every = [tensor for tensors in self.lists() for tensor in tensors]
        one = every[0].dtype
        return all(t.is_cpu and t.is_contiguous() and t.dtype == one for t in every)

    def blocks(self) -> Iterator[Moments]:
        """Cut tensors of the CPU into blocks, one after the other; others stay one list."""
        if not self.parameters[0].is_cpu:
            yield self
            return
        for i, parameter in enumerate(self.parameters):
            mine = [tensors[i : i + 1] for tensors in self.lists()]
            if parameter.numel() <= CPU_BLOCK or not all(t.is_contiguous() for one in mine for t in one):
                yield Moments(*mine)
                continue
            pieces = [[torch.split(t.view(-1), CPU_BLOCK) for t in one] for one in mine]
            for k in range(len(pieces[0][0])):
                yield Moments(*([split[k] for split in one] for one in pieces))


def plus_update_(
    rule: PlusRule, moments: Moments, lr: float, shrink: float, steps: int, own_steps: int
) -> Tensor | None:
    """Step in place along ``delta + base`` over the root of the second moment.

    Args:
        rule: How.
        moments: What is moved and what is kept.
        lr: Learning rate of this side.
        shrink: Factor on the parameters before the step (decoupled weight decay).
        steps: Steps of both sides before this one.
        own_steps: Steps of this side before this one.

    Returns:
        How many second moments were negative, a 0-d tensor, where they can be.
    """
    counts = [_update_block_(rule, block, lr, shrink, steps, own_steps) for block in moments.blocks()]
    found = [count for count in counts if count is not None]
    return torch.stack(found).sum() if found else None


def _update_block_(
    rule: PlusRule, m: Moments, lr: float, shrink: float, steps: int, own_steps: int
) -> Tensor | None:
    beta1, (base1, base2) = rule.betas[0], rule.base_betas
    current = rule.order == "current"
    plus = rule.second_moment == "plus"
    if shrink != 1.0:
        torch._foreach_mul_(m.parameters, shrink)
    squares = list(torch._foreach_mul(m.gradients, m.gradients)) if plus else []
    if current:
        torch._foreach_lerp_(m.base, m.gradients, 1 - base1)
        if plus:
            torch._foreach_lerp_(m.base_square, squares, 1 - base2)
    known = steps + current
    own1 = 1 - beta1 ** (own_steps + 1)
    whole1 = 1 / (1 - base1**known) if known else 0.0
    negative = None
    floored = rule.second_moment == "decoupled" and rule.v_floor > 0
    if floored and own_steps and rule.betas[1]:
        _raise_(rule, m, whole1, (1 - rule.betas[1] ** (own_steps + 1)) / rule.betas[1])
    if not plus and m.plain():
        _fused_(rule, m, lr, own1, whole1, steps, own_steps)
    else:
        torch._foreach_lerp_(m.delta, m.gradients, 1 - beta1)
        torch._foreach_add_(m.delta, m.base, alpha=-(1 - beta1) * whole1)
        # own1 times the update, and `correction` times the root of the second moment: both are divided out at the end.
        update = torch._foreach_add(m.delta, m.base, alpha=own1 * whole1)
        root, correction, negative = _root(rule, m, squares, known, steps, own_steps)
        torch._foreach_add_(root, rule.eps * correction)
        torch._foreach_addcdiv_(m.parameters, update, root, value=-lr * correction / own1)
    if floored and not own_steps:
        _raise_(rule, m, whole1, 1 - rule.betas[1])
    if not current:
        torch._foreach_lerp_(m.base, m.gradients, 1 - base1)
        if plus:
            torch._foreach_lerp_(m.base_square, squares, 1 - base2)
    return negative


def _raise_(rule: PlusRule, m: Moments, whole1: float, correction: float) -> None:
    """Raise a side's own second moment to a fraction of the squared base.

    Where a side has no gradient at all (a dead unit, a word that it never sees) its own second moment is zero, and its
    update is what the base has moved since the delta saw it: without a floor such a weight steps by ``lr u / eps``.
    Done before each step but a side's first, of which it stays Adam's, and after that one, for the next.

    Args:
        rule: How.
        m: What is kept.
        whole1: One over the base's bias correction.
        correction: The second moment's bias correction after the step that comes, over its decay.
    """
    least = torch._foreach_mul(m.base, m.base)
    torch._foreach_mul_(least, rule.v_floor * whole1**2 * correction)
    torch._foreach_maximum_(m.square, least)


def _fused_(
    rule: PlusRule, m: Moments, lr: float, own1: float, whole1: float, steps: int, own_steps: int
) -> None:
    """Let torch's fused AdamW do the second moment and the step, which is fewer passes over memory.

    It steps along its first moment after ``x <- b1 x + (1 - b1) g``, which has to be ``own1 (D^ + B^)``: with a part of
    the base added before, ``(1 - b1^n) B^`` for n steps before this one, it is, and the delta is what is left without
    ``own1 B^``.
    """
    beta1 = rule.betas[0]
    shared = rule.second_moment == "shared"
    kept, beta2, count = (
        (m.base_square, rule.base_betas[1], steps + 1) if shared else (m.square, rule.betas[1], own_steps + 1)
    )
    torch._foreach_add_(m.delta, m.base, alpha=(1 - beta1**own_steps) * whole1)
    torch._fused_adamw_(
        m.parameters,
        m.gradients,
        m.delta,
        kept,
        [],
        [torch.tensor(float(count))] * len(kept),
        # It divides by the correction for `count` steps, which are both sides' where the second moment is shared.
        lr=lr * (1 - beta1**count) / own1,
        beta1=beta1,
        beta2=beta2,
        weight_decay=0.0,
        eps=rule.eps,
        amsgrad=False,
        maximize=False,
    )
    torch._foreach_sub_(m.delta, m.base, alpha=own1 * whole1)


def _root(
    rule: PlusRule, m: Moments, squares: list[Tensor], known: int, steps: int, own_steps: int
) -> tuple[list[Tensor], float, Tensor | None]:
    """Return the root of the second moment times a number, that number, and how many were negative."""
    beta2, base2 = rule.betas[1], rule.base_betas[1]
    if rule.second_moment != "plus":
        shared = rule.second_moment == "shared"
        kept, beta, count = (m.base_square, base2, steps + 1) if shared else (m.square, beta2, own_steps + 1)
        torch._foreach_mul_(kept, beta)
        torch._foreach_addcmul_(kept, m.gradients, m.gradients, value=1 - beta)
        return list(torch._foreach_sqrt(kept)), (1 - beta**count) ** 0.5, None
    own2 = 1 - beta2 ** (own_steps + 1)
    whole2 = 1 / (1 - base2**known) if known else 0.0
    torch._foreach_lerp_(m.square, squares, 1 - beta2)
    torch._foreach_add_(m.square, m.base_square, alpha=-(1 - beta2) * whole2)
    second = torch._foreach_add(m.square, m.base_square, alpha=own2 * whole2)
    negative = torch.stack([(v < 0).sum() for v in second]).sum()
    if rule.negative == "abs":
        torch._foreach_abs_(second)
    else:
        torch._foreach_clamp_min_(second, 0.0)
    if rule.v_floor:
        torch._foreach_maximum_(second, torch._foreach_mul(m.base_square, rule.v_floor * own2 * whole2))
    torch._foreach_sqrt_(second)
    return list(second), own2**0.5, negative
