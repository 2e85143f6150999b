"""The memory plan counts what autograd saves where FSDP2 shards: autocast's copies of the weights are not in it."""

from __future__ import annotations

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from benchmarks import memory_plan
from tests.distributed.memory import batch, model
from tests.distributed.pool import Pool

pytestmark = pytest.mark.distributed


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize(("shape", "width"), [("qwen2.5-7b", 56), ("gpt2-xl", 48)])
def test_the_plan_counts_what_stays_saved(pool: Pool, shape: str, width: int, precision: str) -> None:
    mixed = precision == "bf16-mixed"
    planned = model(shape, width, "meta")
    blocks = [p for block in planned.shard_units() for p in block.parameters()]
    whole = sum(p.numel() for p in blocks if p.ndim == 2)
    with FakeTensorMode():
        memory_plan.pretend(planned, torch.bfloat16 if mixed else None)
        fake = {name: torch.zeros_like(value, device="cpu") for name, value in batch().items()}
        expected = memory_plan.saved_for_backward(planned, fake, mixed)
    for found in pool("tests.distributed.memory:saved_on_rank", shape, width, precision):
        assert found["saved"] == expected
        assert found["freed"] == {torch.bfloat16 if mixed else torch.float32}
        assert found["freed_numbers"] >= whole  # the weights of all blocks, until backward gathers them again
        assert found["gradients"] == {torch.float32}
    if mixed:
        alone = memory_plan.saved_for_backward(model(shape, width), batch(), True)
        assert alone - expected >= 2 * whole  # on one GPU autocast keeps a copy of each
