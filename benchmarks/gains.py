"""What n marginal gains cost: differences and forward mode beside one backward pass per sample and ``vmap``.

    python benchmarks/gains.py --out benchmarks/results/gains.json

A gain is the inner product of a sample's gradient with one direction. Model and clock are those of ``step_cost.py``;
candidates come in batches of 4 x 64 tokens. All ways take turns, and each ratio is to one forward pass without
gradients over the same n samples, made at the same time. Peak memory is that of a process of its own. ``vmap`` holds
n gradients at once, so it is left out where these are many.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # as a script, it knows its own folder only

from benchmarks.step_cost import KEEP, build, processor, ratio, resident_peak, verdict
from unlearnkit.artifacts import atomic_write_json
from unlearnkit.gradients import inner_products
from unlearnkit.objectives import AscentNLL

NUMBERS = (8, 32, 128)
"""Candidates; a multiple of the batch."""

BATCH = 4
VMAP_MOST = 32
GOAL = 2.2


class World:
    """The model, n candidates in batches, and a direction of its parameters' shapes.

    Args:
        n: Number of candidates.
        small: Take a tiny model.
    """

    def __init__(self, n: int, small: bool) -> None:
        self.model = build(small)[0].eval()
        words = self.model.network.get_input_embeddings().weight.shape[0]
        generator = torch.Generator().manual_seed(1)
        self.batches: list[dict[str, Any]] = []
        for first in range(0, n, BATCH):
            ids = torch.randint(3, words, (BATCH, 64), generator=generator)
            labels = ids.clone()
            labels[:, :16] = -100
            index = torch.arange(first, first + BATCH)
            self.batches.append(
                {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels, "index": index}
            )
        self.direction = [torch.randn(p.shape, generator=generator) for p in self.model.parameters()]

    def losses(self, batch: dict[str, Any]) -> Tensor:
        """Return what gradient ascent minimises, [batch]."""
        return AscentNLL()(self.model, batch).sums


def forward(world: World) -> Tensor:
    """Evaluate every loss once, without gradients: the unit of cost."""
    with torch.no_grad():
        return torch.cat([world.losses(batch) for batch in world.batches])


def difference(world: World) -> Tensor:
    """Return the products by central differences."""
    return inner_products(world.losses, world.model, world.batches, world.direction)


def jvp(world: World) -> Tensor:
    """Return the products in forward mode."""
    return inner_products(world.losses, world.model, world.batches, world.direction, "jvp")


def loop(world: World) -> Tensor:
    """Return the products by one backward pass per sample."""
    parameters, found = list(world.model.parameters()), []
    for batch in world.batches:
        for row in range(BATCH):
            one = {name: value[row : row + 1] for name, value in batch.items()}
            gradient = torch.autograd.grad(world.losses(one).sum(), parameters)
            found.append(
                torch.stack([(g * v).sum() for g, v in zip(gradient, world.direction, strict=True)]).sum()
            )
    return torch.stack(found)


class _Losses(nn.Module):
    """Losses as a forward pass, for ``functional_call``."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.model = world.model
        self.losses = world.losses

    def forward(self, batch: Any) -> Tensor:
        """Return the loss of a batch of one."""
        return self.losses(batch)[0]


def vmap(world: World) -> Tensor:
    """Return the products by ``vmap`` of ``grad`` over all samples at once; eager attention, without which it fails."""
    world.model.network.set_attn_implementation("eager")
    wrapped = _Losses(world)
    parameters = {name: p.detach() for name, p in wrapped.named_parameters()}
    whole = {name: torch.cat([batch[name] for batch in world.batches]) for name in world.batches[0]}

    def one(values: dict[str, Tensor], sample: dict[str, Tensor]) -> Tensor:
        batch = {name: value[None] for name, value in sample.items()}
        found: Tensor = torch.func.functional_call(wrapped, values, (batch,))
        return found

    try:
        gradients = torch.func.vmap(torch.func.grad(one), in_dims=(None, 0))(parameters, whole)
    finally:
        world.model.network.set_attn_implementation("sdpa")
    parts = [
        (gradient.flatten(1) @ v.flatten())
        for gradient, v in zip(gradients.values(), world.direction, strict=True)
    ]
    return torch.stack(parts).sum(0)


WAYS: dict[str, Callable[[World], Tensor]] = {
    "forward": forward,
    "difference": difference,
    "jvp": jvp,
    "loop": loop,
    "vmap": vmap,
}


def ways_for(n: int) -> list[str]:
    """Return what is measured with n candidates.

    >>> ways_for(128)
    ['forward', 'difference', 'jvp', 'loop']
    """
    return [name for name in WAYS if name != "vmap" or n <= VMAP_MOST]


def measure_time(n: int, small: bool, turns: int) -> dict[str, list[float]]:
    """Return the CPU seconds of each way, turn by turn."""
    world, names = World(n, small), ways_for(n)
    for name in names:
        WAYS[name](world)  # the first call compiles and fills caches
    found: dict[str, list[float]] = {name: [] for name in names}
    shuffle = random.Random(0)
    for turn in range(turns):
        shuffle.shuffle(names)
        for name in names:
            start = time.process_time()
            WAYS[name](world)
            found[name].append(time.process_time() - start)
        print(f"\rn = {n}, turn {turn + 1} of {turns}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return found


def error(n: int, small: bool, name: str) -> float:
    """Return the largest difference from the per-sample loop, over the largest product."""
    world = World(n, small)
    exact = loop(world).double()
    return float((WAYS[name](world).double() - exact).abs().max() / exact.abs().max())


def peak_memory(name: str, n: int, small: bool) -> int:
    """Return the peak memory of this process after one call, in bytes."""
    WAYS[name](World(n, small))
    return resident_peak()


def measure_memory(small: bool) -> dict[str, dict[str, float]]:
    """Return the peak memory by number and way in MiB, each in a process of its own."""
    found: dict[str, dict[str, float]] = {}
    for n in NUMBERS:
        found[str(n)] = {}
        for name in ways_for(n):
            command = [sys.executable, __file__, "--memory-of", name, "--of", str(n)]
            environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "0"}
            done = subprocess.run(
                [*command, *(["--small"] if small else [])],
                env=environment,
                capture_output=True,
                text=True,
                check=True,
            )
            found[str(n)][name] = round(int(done.stdout.split()[-1]) / 2**20, 1)
    return found


def report(small: bool, turns: int) -> dict[str, Any]:
    """Measure everything and return it with what it was measured on."""
    parameters = sum(p.numel() for p in build(small)[0].parameters())
    times = {str(n): measure_time(n, small, turns) for n in NUMBERS}
    return {
        "format": 1,
        "command": "python benchmarks/gains.py",
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "hardware": {"processor": processor(), "threads": torch.get_num_threads()},
        "versions": {name: importlib.metadata.version(name) for name in ("torch", "transformers")},
        "model": {"parameters": parameters, "batches": f"{BATCH} x 64 tokens", "dtype": "float32"},
        "turns": turns,
        "ms_forward": {n: 1e3 * statistics.median(found["forward"]) for n, found in times.items()},
        "ratio_to_forward": {
            n: {name: ratio(found, name, "forward") for name in found if name != "forward"}
            for n, found in times.items()
        },
        "relative_error": {name: error(NUMBERS[0], small, name) for name in ("difference", "jvp", "vmap")},
        "peak_memory_mib": measure_memory(small),
        "gradient_mib": round(4 * parameters / 2**20, 1),
    }


def table(results: dict[str, Any]) -> str:
    """Return the results as a table in Markdown."""
    lines = [
        "| n | way | time / one forward pass (quartiles) | goal | peak memory, MiB |",
        "|---:|:---|---:|:---|---:|",
    ]
    for n, memory in results["peak_memory_mib"].items():
        for name, peak in memory.items():
            cost, goal = "1", ""
            if name != "forward":
                found = results["ratio_to_forward"][n][name]
                cost = f"{found['median']:.2f} ({found['quartile_1']:.2f} to {found['quartile_3']:.2f})"
                goal = verdict(found["median"], GOAL if name == "difference" else None)
            lines.append(f"| {n} | {name} | {cost} | {goal} | {peak:.0f} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--turns", type=int, default=7, help="turns of all ways")
    parser.add_argument("--small", action="store_true", help="a tiny model, to try the script")
    parser.add_argument("--out", type=Path, help="write the results as JSON")
    parser.add_argument("--memory-of", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--of", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.memory_of:
        print(peak_memory(options.memory_of, options.of, options.small))
        return
    if KEEP.items() - os.environ.items():
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | KEEP)  # read at start only
    results = report(options.small, options.turns)
    print(table(results))
    if options.out:
        atomic_write_json(options.out, results)


if __name__ == "__main__":
    main()
