"""What a round of each strategy costs beside two plain passes, and TorchJD's version where it has the method.

    python benchmarks/strategy_cost.py --out benchmarks/results/strategy_cost.json

Model, baseline, clock and memory are those of ``step_cost.py``: rounds of all variants take turns, ratios are taken
round by round, peak memory is that of a process of its own.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # as a script, it knows its own folder only

from benchmarks.step_cost import (
    KEEP,
    Bench,
    Round,
    mean_loss,
    processor,
    ratio,
    resident_peak,
    two_passes,
    verdict,
)
from unlearnkit.artifacts import atomic_write_json
from unlearnkit.host import PlainHost
from unlearnkit.objectives import NLL, AscentNLL
from unlearnkit.optim import DualOptim, DualOptimPlus
from unlearnkit.strategies import Alternate, GradNorm, GramStrategy, LossStrategy, Strategy
from unlearnkit.testing.host_contract import STRATEGIES

GOALS = {"gram": 1.03, "loss": 1.00}

TORCHJD = {
    "IMTLG": "IMTLG",
    "ConFIG": "ConFIG",
    "PCGrad": "PCGrad",
    "MGDA": "MGDA",
    "AlignedMTL": "AlignedMTL",
    "GradVaccine": "GradVac",
    "GradDrop": "GradDrop",
}
"""Our strategies whose method TorchJD has, and its name there; its Nash-MTL, CAGrad, UPGrad and DualProj need
solver packages that are not among the requirements."""


def strategies() -> dict[str, Callable[[], Strategy]]:
    """Return every strategy by name; GradNorm looks at all layers, as by default."""
    return STRATEGIES | {"GradNorm": GradNorm, "Alternate": Alternate}


def kind(name: str) -> str:
    """Return loss, gram or alternating."""
    strategy = strategies()[name]()
    if isinstance(strategy, LossStrategy):
        return "loss"
    return "gram" if isinstance(strategy, GramStrategy) else "other"


def ours(name: str) -> Callable[[Bench], Round]:
    """Make the rounds of one of our strategies."""

    def make(bench: Bench) -> Round:
        host, strategy = bench.host(), strategies()[name]()
        return lambda: strategy.step(host, bench.pair)

    return make


def alternating(optimizer: Callable[[Any], torch.optim.Optimizer]) -> Callable[[Bench], Round]:
    """Make rounds of one forget and one retain step with an optimizer that has state by side."""

    def make(bench: Bench) -> Round:
        host = PlainHost(
            bench.model, forget=AscentNLL(), retain=NLL(), optimizer=optimizer(bench.model.parameters())
        )
        strategy = Alternate()
        return lambda: strategy.step(host, bench.pair)

    return make


def torchjd(name: str) -> Callable[[Bench], Round]:
    """Make rounds with TorchJD's aggregator of the stacked Jacobian."""

    def make(bench: Bench) -> Round:
        from torchjd import aggregation, autojac

        aggregator = getattr(aggregation, name)()

        def round_() -> None:
            bench.optimizer.zero_grad(set_to_none=True)
            losses = [mean_loss(bench.model, bench.retain), -mean_loss(bench.model, bench.forget)]
            autojac.backward(losses, parallel_chunk_size=1)
            autojac.jac_to_grad(bench.model.parameters(), aggregator)
            bench.optimizer.step()

        return round_

    return make


def sided_adamw(parameters: Any) -> torch.optim.Optimizer:
    """Return DualOptim with two AdamWs."""

    def adamw(given: Any) -> torch.optim.Optimizer:
        return torch.optim.AdamW(given, lr=1e-5, weight_decay=0.0, fused=True)

    return DualOptim(parameters, forget=adamw, retain=adamw)


VARIANTS: dict[str, Callable[[Bench], Round]] = (
    {"two_passes": two_passes}
    | {name: ours(name) for name in strategies()}
    | {
        "DualOptim": alternating(sided_adamw),
        "DualOptimPlus": alternating(lambda parameters: DualOptimPlus(parameters, lr=1e-5)),
    }
    | {f"torchjd {name}": torchjd(theirs) for name, theirs in TORCHJD.items()}
)


def measure_time(small: bool, turns: int) -> dict[str, list[float]]:
    """Return the CPU seconds of each round of each variant."""
    shared = Bench(small)  # one place in memory for all that is compared with the baseline
    rounds = {
        name: make(Bench(small) if name.startswith("DualOptim") else shared)
        for name, make in VARIANTS.items()
    }
    for round_ in rounds.values():
        for _ in range(2):
            round_()
    found: dict[str, list[float]] = {name: [] for name in rounds}
    order, shuffle = list(rounds), random.Random(0)
    for turn in range(turns):
        shuffle.shuffle(order)  # what ran before leaves its mark on the caches
        for name in order:
            start = time.process_time()
            rounds[name]()
            found[name].append(time.process_time() - start)
        print(f"\rround {turn + 1} of {turns}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return found


def measure_memory(small: bool) -> dict[str, int]:
    """Return the peak memory of each variant, each in a process of its own."""
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "0"}
    found = {}
    for name in VARIANTS:
        command = [sys.executable, __file__, "--memory-of", name, *(["--small"] if small else [])]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        found[name] = int(done.stdout.split()[-1])
    return found


def report(small: bool, turns: int) -> dict[str, Any]:
    """Measure everything and return it with what it was measured on."""
    bench = Bench(small)
    parameters = sum(p.numel() for p in bench.model.parameters())
    found, memory = measure_time(small, turns), measure_memory(small)
    gradient = 4 * parameters
    rows = {
        name: {
            **ratio(found, name),
            "gradient_copies": round((memory[name] - memory["two_passes"]) / gradient, 2),
            **({"kind": kind(name)} if name in strategies() else {}),
        }
        for name in VARIANTS
        if name != "two_passes"
    }
    return {
        "format": 1,
        "command": "python benchmarks/strategy_cost.py",
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "hardware": {"processor": processor(), "threads": torch.get_num_threads()},
        "versions": {name: importlib.metadata.version(name) for name in ("torch", "transformers", "torchjd")},
        "model": {"parameters": parameters, "batches": "2 of 4 x 64 tokens", "dtype": "float32"},
        "rounds": turns,
        "goals": GOALS,
        "rows": rows,
    }


def table(results: dict[str, Any]) -> str:
    """Return the rows as markdown: our strategies, with TorchJD's version beside them."""
    rows = results["rows"]
    lines = [
        "| strategy | kind | time / two plain passes (quartiles) | goal | more memory, gradients | TorchJD: time, "
        "gradients |",
        "|:---|:---|---:|:---|---:|---:|",
    ]
    for name, row in rows.items():
        if name.startswith("torchjd "):
            continue
        theirs = rows.get(f"torchjd {name}")
        beside = f"{theirs['median']:.2f}, {theirs['gradient_copies']:.1f}" if theirs else ""
        spread = f"{row['median']:.2f} ({row['quartile_1']:.2f} to {row['quartile_3']:.2f})"
        goal = verdict(row["median"], results["goals"].get(row.get("kind")))
        kind_ = row.get("kind", "other")
        lines.append(f"| {name} | {kind_} | {spread} | {goal} | {row['gradient_copies']:.1f} | {beside} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--turns", type=int, default=30, help="rounds of each variant")
    parser.add_argument("--small", action="store_true", help="a tiny model, to try the script")
    parser.add_argument("--out", type=Path, help="write the results as JSON")
    parser.add_argument("--memory-of", choices=VARIANTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.memory_of:
        round_ = VARIANTS[options.memory_of](Bench(options.small))
        for _ in range(3):
            round_()
        print(resident_peak())
        return
    if KEEP.items() - os.environ.items():
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | KEEP)  # read at start only
    results = report(options.small, options.turns)
    print(table(results))
    if options.out:
        atomic_write_json(options.out, results)


if __name__ == "__main__":
    main()
