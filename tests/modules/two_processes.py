"""What each of two processes runs in ``test_distributed.py``: python -m tests.modules.two_processes OUT."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from lightning.pytorch import Trainer
from lightning.pytorch.strategies import DDPStrategy
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Replicate, Shard, distribute_tensor

from unlearnkit.batches import ForgetRetainBatch, LabelledBatch
from unlearnkit.callbacks import GeN
from unlearnkit.gradients import combine_, gram_matrix
from unlearnkit.gradients.gram import Weights
from unlearnkit.modules import UnlearningModule
from unlearnkit.testing.host_contract import OPTIMIZERS, STRATEGIES, double_model
from unlearnkit.testing.toys import toy_pair

ROUNDS = 6

CASES: dict[str, dict[str, Any]] = {
    f"{name}-{kind}": {"strategy": name, "optimizer": kind} for name in STRATEGIES for kind in OPTIMIZERS
} | {
    "NGDiff-AdamW-clip": {"strategy": "NGDiff", "optimizer": "AdamW", "clip": 0.3},
    "NGDiff-AdamW-gen": {"strategy": "NGDiff", "optimizer": "AdamW", "gen": True},
    "NGDiff-SGD-views": {
        "strategy": "NGDiff",
        "optimizer": "SGD",
        "ddp": {"gradient_as_bucket_view": True},
    },
    "NGDiff-SGD-unused": {"strategy": "NGDiff", "optimizer": "SGD", "ddp": {"find_unused_parameters": True}},
    "NGDiff-SGD-static": {"strategy": "NGDiff", "optimizer": "SGD", "ddp": {"static_graph": True}},
}


def whole_batches() -> list[ForgetRetainBatch]:
    """Return what one process sees: unequal sides, other samples each round."""
    return [toy_pair(forget=7 + r % 2, retain=11, seed=r, dtype=torch.float64) for r in range(ROUNDS)]


def part(batch: LabelledBatch, first: int, last: int | None) -> LabelledBatch:
    """Return some samples of a batch."""
    rows = slice(first, last)
    return {"inputs": batch["inputs"][rows], "targets": batch["targets"][rows], "index": batch["index"][rows]}


def local_batches(rank: int) -> list[ForgetRetainBatch]:
    """Return one rank's share: 5 + 2 forget and 4 + 7 retain samples, cut into unequal micro-batches.

    In round 2 the second rank has no forget sample at all.
    """
    local: list[ForgetRetainBatch] = []
    for round_, batch in enumerate(whole_batches()):
        forget, retain = batch["forget"], batch["retain"]
        if rank == 0:
            end = None if round_ == 2 else 5
            pair = {"forget": part(forget, 0, end), "retain": [part(retain, 0, 1), part(retain, 1, 4)]}
        else:
            begin = len(forget["index"]) if round_ == 2 else 5
            pair = {"forget": part(forget, begin, None), "retain": part(retain, 4, None)}
        local.append(pair)  # type: ignore[arg-type]
    return local


def train(case: dict[str, Any], batches: list[ForgetRetainBatch], **settings: Any) -> UnlearningModule:
    """Train the case on these batches and return the module."""
    module = UnlearningModule(
        double_model(),
        strategy=STRATEGIES[case["strategy"]](),
        optimizer=OPTIMIZERS[case["optimizer"]],
        clip=case.get("clip"),
    )
    trainer = Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        max_epochs=1,
        use_distributed_sampler=False,
        callbacks=[GeN(every=2)] if case.get("gen") else [],
        **settings,
    )
    trainer.fit(module, torch.utils.data.DataLoader(batches, batch_size=None))
    return module


def state(module: UnlearningModule) -> dict[str, Any]:
    """Return what must be equal on every rank and in one process."""
    return {
        "parameters": [p.detach().clone() for p in module.model.parameters()],
        "losses": {side: loss.item() for side, loss in module.last_report.losses.items()},
        "scale": module.host.lr_scale,
        "rounds": module.host.round,
    }


def sharded_gram() -> dict[str, Any]:
    """Return Gram matrix and combination of gradients that are sharded, replicated and plain."""
    mesh = init_device_mesh("cpu", (2,))
    generator = torch.Generator().manual_seed(0)

    def draw() -> list[torch.Tensor]:
        return [torch.randn(s, generator=generator, dtype=torch.float64) for s in ((17, 3), (5,), (4, 2))]

    def spread(tensors: list[torch.Tensor]) -> list[torch.Tensor]:
        uneven, replicated, plain = tensors
        return [
            distribute_tensor(uneven, mesh, [Shard(0)]),
            distribute_tensor(replicated, mesh, [Replicate()]),
            plain.clone(),
        ]

    g_r, g_f = draw(), draw()
    expected = gram_matrix(g_r, g_f)
    combined_expected = [0.3 * a - 2.0 * b for a, b in zip(g_r, g_f, strict=True)]
    left, right = spread(g_r), spread(g_f)
    found = gram_matrix(left, right)
    weights = Weights(torch.tensor(0.3, dtype=torch.float64), torch.tensor(-2.0, dtype=torch.float64))
    combined = combine_(left, right, weights)
    full = [t.full_tensor() if hasattr(t, "full_tensor") else t for t in combined]
    return {
        "found": [found.rr.item(), found.ff.item(), found.rf.item()],
        "expected": [expected.rr.item(), expected.ff.item(), expected.rf.item()],
        "combined": full,
        "combined_expected": combined_expected,
    }


def main(out: Path) -> None:
    """Run every case on this rank and write what came of it."""
    torch.set_num_threads(1)
    results: dict[str, Any] = {}
    rank = int(os.environ["RANK"])
    for name, case in CASES.items():
        strategy = DDPStrategy(process_group_backend="gloo", **case.get("ddp", {}))
        module = train(case, local_batches(rank), devices=2, strategy=strategy)
        results[name] = state(module)
    results["gram"] = sharded_gram()
    torch.save(results, out / f"{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
