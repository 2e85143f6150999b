"""Running statistics become the mean over ranks where they have moved; tests/distributed has true ranks."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from unlearnkit.modules.shared_statistics import share_statistics


def model() -> nn.Sequential:
    """Return two layers with statistics, of two types, and one without."""
    torch.manual_seed(0)
    made = nn.Sequential(nn.BatchNorm1d(3), nn.LayerNorm(3), nn.BatchNorm1d(3).double())
    made[0](torch.randn(5, 3))
    made[2](torch.randn(5, 3).double())
    return made


def two_ranks(first: nn.Module, second: nn.Module) -> None:
    """Share between two models: first each hands its own in, then each is told the sum."""
    handed: list[Tensor] = []

    def note(own: Tensor) -> Tensor:
        handed.append(own.clone())
        return 2 * own  # of which the mean is what was there

    for one in (first, second):
        share_statistics(one, note, 2)
    for one in (first, second):
        share_statistics(one, lambda own: handed[0] + handed[1], 2)


def test_ranks_have_the_mean_of_both() -> None:
    first, second = model(), model()
    second[0](torch.randn(4, 3))
    second[2](torch.randn(4, 3).double())
    before = [(a.clone(), b.clone()) for a, b in zip(first.buffers(), second.buffers(), strict=True)]
    two_ranks(first, second)
    pairs = zip(first.named_buffers(), second.named_buffers(), before, strict=True)
    for (name, one), (_, other), (a, b) in pairs:
        if name.endswith("num_batches_tracked"):
            assert (one, other) == (a, b)
        else:
            assert not torch.equal(a, b)
            assert torch.equal(one, other)
            assert one.dtype == a.dtype
            torch.testing.assert_close(one, (a + b) / 2)


@pytest.mark.parametrize("world", [1, 2])
def test_what_has_not_moved_is_not_exchanged(world: int) -> None:
    """A mean of equal numbers need not be that number, and one process has nobody to ask."""
    still = model()
    if world == 2:
        still.eval()

    def ask(_: Tensor) -> Tensor:
        raise AssertionError("ranks were asked")

    share_statistics(still, ask, world)
    share_statistics(nn.Sequential(nn.LayerNorm(3), nn.GroupNorm(1, 3)), ask, 2)
