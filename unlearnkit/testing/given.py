"""One round on two gradients that are given, through a real host and optimizer."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from unlearnkit.host import PlainHost
from unlearnkit.objectives import NLL
from unlearnkit.strategies import RoundReport, Strategy


class Given(nn.Module):
    """A model whose loss on a 'batch' is its product with the parameters: the batch is the gradient.

    Args:
        theta: The parameters, [n].
    """

    def __init__(self, theta: Tensor) -> None:
        super().__init__()
        self.theta = nn.Parameter(theta)

    def losses(self, batch: Tensor) -> Tensor:
        """Return the product, [1]."""
        return (batch * self.theta).sum()[None]

    def counts(self, batch: Tensor) -> Tensor:
        """Return one, [1]."""
        return torch.ones(1)


def given_round(
    strategy: Strategy,
    g_r: Any,
    g_f: Any,
    dtype: torch.dtype = torch.float64,
    optimizer: Any = torch.optim.SGD,
    held: Any = (),
) -> tuple[RoundReport, Tensor]:
    """Make one round at learning rate 1 from parameters of zero, where both losses are zero.

    Args:
        strategy: What makes the round.
        g_r: Retain gradient, [n].
        g_f: Forget gradient, [n].
        dtype: Type of parameters and gradients.
        optimizer: Class of the optimizer.
        held: Sides that are held.

    Returns:
        The report, and how far the parameters moved down, [n]: with SGD the direction.

    >>> from unlearnkit.strategies import NGDiff
    >>> given_round(NGDiff(), [3.0, 4.0], [0.0, 2.0])[1].tolist()
    [0.6..., 1.8...]
    """
    g_r, g_f = torch.as_tensor(g_r, dtype=dtype), torch.as_tensor(g_f, dtype=dtype)
    model = Given(torch.zeros(len(g_r), dtype=dtype))
    host = PlainHost(model, forget=NLL(), retain=NLL(), optimizer=optimizer(model.parameters(), lr=1.0))
    host.held = set(held)
    batch: Any = {"forget": g_f, "retain": g_r}
    report = strategy.step(host, batch)
    assert host.round == 1
    return report, -model.theta.detach()
