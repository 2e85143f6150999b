"""DualOptim+ as optimization.md C.2 states it, one element at a time, and gradients to try it with."""

from __future__ import annotations

import math
from typing import Any

import torch


class NaivePlus:
    """The rule for one number in plain Python floats, kept as it is written, not as it is fast."""

    def __init__(self, value: float, rule: Any, lr: dict[str, float], weight_decay: float = 0.0) -> None:
        self.p, self.rule, self.lr, self.weight_decay = value, rule, lr, weight_decay
        self.n, self.counts = 0, {"forget": 0, "retain": 0}
        self.base1 = self.base2 = 0.0
        self.delta1 = {"forget": 0.0, "retain": 0.0}
        self.delta2 = {"forget": 0.0, "retain": 0.0}
        self.update = 0.0
        self.negative = 0

    def step(self, side: str, g: float) -> None:
        (b1, b2), (a1, a2) = self.rule.betas, self.rule.base_betas
        current = self.rule.order == "current"
        self.p *= 1 - self.lr[side] * self.weight_decay
        if current:
            self._update_base(g)
        hat1 = self.base1 / (1 - a1**self.n) if self.n else 0.0
        hat2 = self.base2 / (1 - a2**self.n) if self.n else 0.0
        self.counts[side] += 1
        own = self.counts[side]
        self.delta1[side] = b1 * self.delta1[side] + (1 - b1) * (g - hat1)
        self.update = self.delta1[side] / (1 - b1**own) + hat1
        if self.rule.second_moment == "plus":
            self.delta2[side] = b2 * self.delta2[side] + (1 - b2) * (g * g - hat2)
            v = self.delta2[side] / (1 - b2**own) + hat2
            self.negative += v < 0
            v = abs(v) if self.rule.negative == "abs" else max(v, 0.0)
            v = max(v, self.rule.v_floor * hat2)
        elif self.rule.second_moment == "decoupled":
            least = self.rule.v_floor * hat1**2
            if own > 1 and b2:  # raised so that it is no less than that after this step
                self.delta2[side] = max(self.delta2[side], least * (1 - b2**own) / b2)
            self.delta2[side] = b2 * self.delta2[side] + (1 - b2) * g * g
            v = self.delta2[side] / (1 - b2**own)
            if own == 1:
                self.delta2[side] = max(self.delta2[side], least * (1 - b2))
        else:
            steps = self.n if current else self.n + 1
            kept = self.base2 if current else a2 * self.base2 + (1 - a2) * g * g
            v = kept / (1 - a2**steps)
        self.p -= self.lr[side] * self.update / (math.sqrt(v) + self.rule.eps)
        if not current:
            self._update_base(g)

    def _update_base(self, g: float) -> None:
        a1, a2 = self.rule.base_betas
        self.n += 1
        self.base1 = a1 * self.base1 + (1 - a1) * g
        self.base2 = a2 * self.base2 + (1 - a2) * g * g


def directions(make: Any, gradients: list[tuple[str, torch.Tensor]]) -> list[torch.Tensor]:
    """Return the update of each step, without what it is divided by.

    Args:
        make: Makes the optimizer from the parameters, a rate and an eps; with both at 1e9 the second moment
            drops out of ``lr u / (sqrt(v) + eps)``.
        gradients: Side and gradient of each step.
    """
    p = torch.nn.Parameter(torch.zeros_like(gradients[0][1]))
    optimizer = make([p], 1e9, 1e9)
    found = []
    for side, gradient in gradients:
        p.grad = gradient.clone()
        with torch.no_grad():
            p.zero_()
        optimizer.step(side=side)
        found.append(-p.detach().clone())
    return found
