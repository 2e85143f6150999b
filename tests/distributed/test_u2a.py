"""U2A on two processes: each scores its share of the candidates, and both choose what one process chooses."""

from __future__ import annotations

import pytest
import torch

from tests.distributed import u2a
from tests.distributed.pool import Pool
from unlearnkit.alignment import MarginalGains
from unlearnkit.gradients import InnerProblem

pytestmark = pytest.mark.distributed


@pytest.mark.parametrize("curvature", ["identity", "cg"])
def test_two_processes_choose_what_one_chooses(pool: Pool, curvature: str) -> None:
    """At the target bit for bit; later from parameters that differ in the last bits, as DDP's sums do."""
    alone = u2a.run(None, curvature)
    first, second = pool("tests.distributed.u2a:run", "ddp", curvature)
    assert [first["rounds"], second["rounds"]] == [alone["rounds"]] * 2
    for name in ("gains", "weights", "indices"):
        assert torch.equal(first["seen"][0][name], alone["seen"][0][name])
        for own, other in zip(first["seen"], second["seen"], strict=True):
            assert torch.equal(own[name], other[name])
    for own, single in zip(first["seen"], alone["seen"], strict=True):
        assert torch.equal(own["indices"], single["indices"])
        torch.testing.assert_close(own["weights"], single["weights"], rtol=1e-7, atol=1e-10)
    for own, single in zip(first["parameters"], alone["parameters"], strict=True):
        torch.testing.assert_close(own, single, rtol=0, atol=1e-8)
    assert first["history"] == second["history"]


def test_from_the_same_parameters_two_processes_find_the_bits_of_one_in_every_round(pool: Pool) -> None:
    found, _ = pool("tests.distributed.u2a:run", "ddp")
    model, objective, j = u2a.module().model, u2a.AscentNLL(), u2a.LikelihoodJ()
    data = u2a.data()
    data.setup()
    batches = list(data.batches("forget"))
    problem = InnerProblem(model, lambda batch: objective(model, batch).sums, batches)
    scored = [one for one in found["seen"][:3] if one["gains"] is not None]
    assert len(scored) == 3
    for one in scored:
        with torch.no_grad():
            for parameter, value in zip(model.parameters(), one["theta"], strict=True):
                parameter.copy_(value)
        gains = MarginalGains(0.5)(problem, j.gradient(model), one["before"])
        assert torch.equal(gains, one["gains"])


def test_a_sharded_model_is_refused(pool: Pool) -> None:
    for message in pool("tests.distributed.u2a:refusal", "fsdp2"):
        assert "whole on every rank under U2A" in message
        assert message.endswith("Use DDP.")
