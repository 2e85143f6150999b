"""bf16 and fp16 on two processes: the path of fp32 but for rounding, and one verdict on all ranks."""

from __future__ import annotations

import pytest
import torch

from tests.distributed.pool import Pool
from tests.distributed.precision import BROKEN, train

pytestmark = [pytest.mark.distributed, pytest.mark.filterwarnings("ignore::UserWarning")]

HOSTS = ("ddp", "ddp-views", "fsdp2")
RUN = "tests.distributed.precision:run_on_rank"


@pytest.mark.parametrize("strategy", ["NGDiff", "LossNorm", "Alternating"])
@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed"])
@pytest.mark.parametrize("host", HOSTS)
def test_steps_are_those_of_fp32_in_one_process(pool: Pool, host: str, precision: str, strategy: str) -> None:
    full = train(None, strategy, False, None)
    first, second = pool(RUN, host, precision, strategy, False)
    assert torch.equal(first["moved"], second["moved"])
    assert (first["moved"] - full["moved"]).norm() <= 0.03 * full["moved"].norm()
    assert first["count"] == 0
    assert first["scale"] == second["scale"] == (2.0**10 if precision == "16-mixed" else None)


@pytest.mark.parametrize("strategy", ["NGDiff", "FixedWeights"])
@pytest.mark.parametrize("precision", [None, "bf16-mixed", "16-mixed"])
@pytest.mark.parametrize("host", HOSTS)
def test_a_broken_gradient_on_one_rank_is_skipped_on_both(
    pool: Pool, host: str, precision: str | None, strategy: str
) -> None:
    first, second = pool(RUN, host, precision, strategy, True)
    for found in (first, second):
        assert found["skipped"] == ["non-finite gradient" if r == BROKEN else None for r in range(6)]
        assert (found["count"], found["rounds"]) == (1, 6)
        assert found["scale"] == (2.0**9 if precision == "16-mixed" else None)
        assert torch.isfinite(found["moved"]).all()
    assert torch.equal(first["moved"], second["moved"])
    whole = train(precision, strategy, True, None)
    assert (first["moved"] - whole["moved"]).norm() <= 0.03 * whole["moved"].norm()


@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed"])
@pytest.mark.parametrize("host", ["ddp", "fsdp2"])
def test_gen_probes_under_mixed_precision(pool: Pool, host: str, precision: str) -> None:
    """Its forward passes run outside autocast; the ranks agree on the scale."""
    first, second = pool(RUN, host, precision, "NGDiff", False, True)
    assert torch.equal(first["moved"], second["moved"])
    assert first["lr_scale"] == second["lr_scale"] > 0
    # Whole bf16 copies of each layer's weight would wait for the backward pass on every rank.
    bf16 = host == "fsdp2" and precision == "bf16-mixed"
    assert first["gathered"] == (torch.bfloat16 if bf16 else None)
    if not bf16:  # there the loss is computed in bf16, and small changes of it drown in rounding
        assert first["lr_scale"] != 1.0
