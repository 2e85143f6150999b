"""DWA: dynamic weight average."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from unlearnkit.errors import ConfigurationError
from unlearnkit.gradients import Weights
from unlearnkit.strategies.base import Losses, LossStrategy


class DWA(LossStrategy):
    """Weights ``2 softmax(r / T)``, ``r = L(t-1)/L(t-2)`` of each side's mean losses (Liu et al. 2019, DWA).

    The side whose loss fell less gets more weight. The original's epochs are spans of ``every`` rounds. For a
    loss that is ascended (negative) the ratio is turned over, because its size grows as forgetting succeeds.

    Args:
        temperature: T, above 0; large values give equal weights.
        every: Rounds over which losses are averaged, 1 or above.

    Raises:
        ConfigurationError: ``temperature`` or ``every`` lies outside its range.

    >>> import torch
    >>> strategy = DWA(temperature=1.0, every=1)
    >>> for loss in (2.0, 1.0):
    ...     strategy.learn({"retain": torch.tensor(loss), "forget": torch.tensor(3.0)})
    >>> weights = strategy.weights({"retain": torch.tensor(1.0), "forget": torch.tensor(3.0)})
    >>> round(weights.retain.item(), 3), round(weights.forget.item(), 3)  # 2 softmax(0.5, 1)
    (0.755, 1.245)
    """

    state = "6 losses, 1 count"
    means: Tensor
    """Mean losses (retain, forget) of the span before last and of the last one, [2, 2], float64; NaN until known."""
    sums: Tensor
    """Sums of the losses of this span, [2], float64."""
    count: Tensor
    """Rounds in this span so far, 0-d float64."""

    def __init__(self, temperature: float = 2.0, every: int = 10) -> None:
        super().__init__()
        if not 0.0 < temperature < math.inf:
            raise ConfigurationError(
                f"`temperature` must be a finite number above 0. Found {temperature}. Use 2.0."
            )
        if every < 1:
            raise ConfigurationError(
                f"`every` must be 1 or above, the rounds that losses are averaged over. Found {every}. Use 10."
            )
        self.temperature = temperature
        self.every = every
        self.register_buffer("means", torch.full((2, 2), torch.nan, dtype=torch.float64))
        self.register_buffer("sums", torch.zeros(2, dtype=torch.float64))
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))

    def weights(self, losses: Losses) -> Weights:
        """Return the two weights, which add up to 2; ones until two spans are known."""
        before, last = self.means
        ratio = (last / before).abs()
        ratio = torch.where(before < 0, 1.0 / ratio, ratio).nan_to_num(1.0, 1.0)
        retain, forget = (2 * (ratio / self.temperature).softmax(0)).to(losses["retain"]).unbind()
        return Weights(retain, forget)

    def learn(self, losses: Losses) -> None:
        """Add the round's losses to the span's; at its end the span becomes the last one."""
        self.sums += torch.stack([losses["retain"], losses["forget"]]).double()
        self.count += 1
        full = self.count >= self.every
        ended = torch.stack([self.means[1], self.sums / self.count])
        self.means.copy_(torch.where(full, ended, self.means))
        self.sums.copy_(torch.where(full, 0.0, self.sums))
        self.count.copy_(torch.where(full, 0.0, self.count))
