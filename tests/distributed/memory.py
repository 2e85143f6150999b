"""What autograd saves on each rank of two for a language model whose weights FSDP2 shards."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh

from benchmarks.memory_plan import Setting, build
from tests.distributed.sharded_algebra import joined
from tests.modules.tiny import tokens
from unlearnkit.models import CausalLM
from unlearnkit.modules.sharded import shard
from unlearnkit.sharding import local_part


def model(shape: str, width: int, device: str = "cpu") -> CausalLM:
    """Return a narrowed shape with weights in fp32."""
    with torch.device(device):
        return build(shape, Setting("float32"), width, vocabulary=23)


def batch() -> dict[str, Any]:
    """Return the five sequences that each rank sees."""
    return tokens(5, 0)


def saved_on_rank(shape: str, width: int, precision: str) -> dict[str, Any]:
    """Return the bytes that stay saved beside parameters, and what of the saved is freed already."""
    joined()
    network = model(shape, width)
    shard(network, init_device_mesh("cpu", (2,)), precision)
    saved: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        saved[tensor.untyped_storage()._cdata] = tensor
        return tensor

    mixed = precision == "bf16-mixed"
    cast = torch.autocast("cpu", dtype=torch.bfloat16, cache_enabled=False)
    with cast if mixed else nullcontext(), torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
        loss = network.losses(batch()).sum()
    own = {local_part(p).untyped_storage()._cdata for p in network.parameters()}
    others = [t for storage, t in saved.items() if storage not in own]
    freed = [t for t in others if t.untyped_storage().nbytes() == 0]
    loss.backward()
    return {
        "saved": sum(t.untyped_storage().nbytes() for t in others),
        "freed": {t.dtype for t in freed},
        "freed_numbers": sum(t.numel() for t in freed),
        "gradients": {p.grad.dtype for p in network.parameters()},
    }
