"""On one process; tests/distributed has the sharded runs."""

from __future__ import annotations

import pytest
from lightning.pytorch.strategies import ModelParallelStrategy, StrategyRegistry

from unlearnkit.errors import ConfigurationError
from unlearnkit.modules.sharded import FSDP2, require_sharding


def test_the_name_fsdp2_is_known_to_trainers() -> None:
    assert isinstance(StrategyRegistry.get("fsdp2"), FSDP2)


def test_tensor_parallelism_is_one_from_the_start() -> None:
    """Lightning's "auto" makes it the number of devices, and leaves no data parallelism at all."""
    assert FSDP2()._tensor_parallel_size == 1


def test_other_strategies_pass() -> None:
    require_sharding(None)


def test_tensor_parallelism_is_refused() -> None:
    class Mesh:
        def size(self) -> int:
            return 8

    found = ModelParallelStrategy()
    found._device_mesh = {"tensor_parallel": Mesh()}
    with pytest.raises(
        ConfigurationError, match=r"Found a ModelParallelStrategy with tensor_parallel_size=8"
    ):
        require_sharding(found)
