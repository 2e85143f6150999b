"""What each of two ranks computes on sharded, replicated and plain tensors."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.tensor import Replicate, Shard, distribute_tensor

from unlearnkit.errors import ConfigurationError
from unlearnkit.gradients import Weights, clip_, combine_, gram_matrix, squared_norm
from unlearnkit.sharding import first_element, local_part, replicas, scale_
from unlearnkit.strategies import GradDrop


def joined() -> None:
    """Join the two ranks, if no trainer has done so."""
    if not dist.is_initialized():
        dist.init_process_group("gloo")


def draw(generator: torch.Generator) -> list[Tensor]:
    """Return tensors of which none is divisible by two but the last."""
    return [torch.randn(s, generator=generator, dtype=torch.float64) for s in ((17, 3), (5,), (1, 2), (4, 2))]


def spread(tensors: list[Tensor], mesh: DeviceMesh) -> list[Tensor]:
    """Shard the first (9 and 8 rows), replicate the second, shard the third (1 and no row), leave the last plain."""
    uneven, replicated, short, plain = (t.clone() for t in tensors)
    return [
        distribute_tensor(uneven, mesh, [Shard(0)]),
        distribute_tensor(replicated, mesh, [Replicate()]),
        distribute_tensor(short, mesh, [Shard(0)]),
        plain,
    ]


def full(tensors: list[Tensor]) -> list[Tensor]:
    """Return whole tensors."""
    return [t.full_tensor() if hasattr(t, "full_tensor") else t for t in tensors]


def algebra() -> dict[str, Any]:
    """Return Gram matrix, combination, norm, clipping and scaling, each with what one process computes."""
    joined()
    mesh = init_device_mesh("cpu", (2,))
    generator = torch.Generator().manual_seed(0)
    g_r, g_f = draw(generator), draw(generator)
    left, right = spread(g_r, mesh), spread(g_f, mesh)
    expected, found = gram_matrix(g_r, g_f), gram_matrix(left, right)
    weights = Weights(torch.tensor(0.3, dtype=torch.float64), torch.tensor(-2.0, dtype=torch.float64))
    norm = squared_norm(left), squared_norm(g_r)
    clip_(left, 0.5)
    clipped = full(left)
    clip_(g_r, 0.5)
    combined, combined_expected = combine_(left, right, weights), combine_(g_r, g_f, weights)
    scale_(combined, torch.tensor(3.0, dtype=torch.float64))
    return {
        "numbers": [found.rr.item(), found.ff.item(), found.rf.item(), norm[0].item()],
        "numbers_expected": [expected.rr.item(), expected.ff.item(), expected.rf.item(), norm[1].item()],
        "tensors": [*clipped, *full(combined)],
        "tensors_expected": [*g_r, *(3.0 * t for t in combined_expected)],
        "rows": local_part(left[0]).shape[0],
        "replicas": [replicas(t) for t in left],
    }


def hybrid() -> list[float]:
    """Return the norm of a tensor held twice (two replicas of one shard), and what it should be."""
    joined()
    mesh = init_device_mesh("cpu", (2, 1), mesh_dim_names=("replicate", "shard"))
    whole = torch.arange(5.0, dtype=torch.float64)
    held = distribute_tensor(whole, mesh, [Replicate(), Shard(0)])
    assert replicas(held) == 2
    return [squared_norm([held]).item(), gram_matrix([held], [held]).rr.item(), whole.square().sum().item()]


def coordinates() -> dict[str, Any]:
    """Return where this rank's parts begin, and GradDrop's direction on shards and in one piece."""
    joined()
    mesh = init_device_mesh("cpu", (2,))
    generator = torch.Generator().manual_seed(1)
    a, b = draw(generator), draw(generator)
    strategy = GradDrop(seed=3)
    strategy.round = 4
    weights = Weights(torch.ones(()), torch.ones(()))
    expected = strategy.combine(a, [t.clone() for t in b], weights)
    found = strategy.combine(spread(a, mesh), spread(b, mesh), weights)
    try:
        first_element(distribute_tensor(torch.zeros(2, 4), mesh, [Shard(1)]))
        message = ""
    except ConfigurationError as error:
        message = str(error)
    return {
        "first": [first_element(t) for t in spread(a, mesh)],
        "same": [torch.equal(x, y) for x, y in zip(full(found), expected, strict=True)],
        "message": message,
    }
