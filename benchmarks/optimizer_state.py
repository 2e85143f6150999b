"""What an optimizer with state for each side costs: bytes a parameter and time a step, and how steady it is.

    python benchmarks/optimizer_state.py --out benchmarks/results/optimizer_state.json

One run prints ratios to fused AdamW that were measured in it. The parameters are those of the language model of
``step_cost.py``; gradients are random and fixed. Time is CPU time of one thread; the optimizers take turns step by
step, and each ratio is a median over steps made at the same time. For DualOptim* a step is one side's, of which a
round has two; AdamW is given the same gradients. The second part gives the numbers that the defaults of DualOptim+
were chosen by; they have no hardware in them. With ``--device cuda`` time is that of events on the GPU.
"""

from __future__ import annotations

import argparse
import functools
import importlib.metadata
import os
import random
import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import AdamW

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # as a script, it knows its own folder only

from benchmarks.step_cost import KEEP, build, processor, ratio, verdict
from unlearnkit.artifacts import atomic_write_json
from unlearnkit.optim import DualOptim, DualOptimPlus

LR = 1e-5
SIDES = ("forget", "retain")

adamw = functools.partial(AdamW, lr=LR, weight_decay=0.0, fused=True)

OPTIMIZERS: dict[str, Callable[[list[nn.Parameter]], torch.optim.Optimizer]] = {
    "adamw_fused": adamw,
    "adamw_foreach": functools.partial(AdamW, lr=LR, weight_decay=0.0, foreach=True),
    "dual_optim": lambda p: DualOptim(p, adamw, adamw),
    "dual_optim_plus": functools.partial(DualOptimPlus, lr=LR),
    "dual_optim_plus_shared": functools.partial(DualOptimPlus, lr=LR, second_moment="shared"),
    "dual_optim_plus_slides": functools.partial(DualOptimPlus, lr=LR, preset="slides"),
    "dual_optim_plus_authors": functools.partial(DualOptimPlus, lr=LR, preset="authors"),
    "dual_optim_8bit": lambda p: DualOptim(p, adamw, adamw, state_bits=8),
    "dual_optim_8bit_bitsandbytes": lambda p: DualOptim(
        p, adamw, adamw, state_bits=8, state_library="bitsandbytes"
    ),
    "dual_optim_plus_8bit": functools.partial(DualOptimPlus, lr=LR, state_bits=8),
    "dual_optim_plus_8bit_bitsandbytes": functools.partial(
        DualOptimPlus, lr=LR, state_bits=8, state_library="bitsandbytes"
    ),
}
GOALS = {"dual_optim_plus": 3.0}


def setup(small: bool, device: str) -> dict[str, tuple[Any, list[nn.Parameter]]]:
    """Return each optimizer with parameters and gradients of its own, and embeddings out of the 8 bits."""
    found = {}
    for name, make in OPTIMIZERS.items():
        model = build(small)[0].to(device)
        parameters = [p for p in model.parameters() if p.requires_grad]
        generator = torch.Generator().manual_seed(0)
        for p in parameters:
            p.grad = torch.randn(p.shape, generator=generator).to(device)
        optimizer = make(parameters)
        if hasattr(optimizer, "keep_full_precision"):
            tables = [m for m in model.modules() if isinstance(m, nn.Embedding)]
            optimizer.keep_full_precision([m.weight for m in tables])
        found[name] = (optimizer, parameters)
    return found


def step(optimizer: Any, turn: int) -> None:
    if getattr(optimizer, "by_side", False):
        optimizer.step(side=SIDES[turn % 2])
    else:
        optimizer.step()


def timed(optimizer: Any, turn: int, device: str) -> float:
    """Return the seconds of one step."""
    if device == "cpu":
        start = time.process_time()
        step(optimizer, turn)
        return time.process_time() - start
    before, after = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    before.record()
    step(optimizer, turn)
    after.record()
    torch.cuda.synchronize()
    return before.elapsed_time(after) / 1e3


def measure_time(small: bool, steps: int, device: str) -> dict[str, list[float]]:
    """Return the seconds of each step of each optimizer."""
    made = setup(small, device)
    for turn in range(4):
        for optimizer, _ in made.values():
            step(optimizer, turn)
    found: dict[str, list[float]] = {name: [] for name in made}
    order, shuffle = list(made), random.Random(0)
    for turn in range(steps):
        shuffle.shuffle(order)  # what ran before leaves its mark on the caches
        for name in order:
            found[name].append(timed(made[name][0], turn, device))
    return found


def bytes_each() -> dict[str, float]:
    """Return the bytes of state a parameter of a large matrix takes, by optimizer."""
    found = {}
    for name, make in OPTIMIZERS.items():
        p = nn.Parameter(torch.zeros(1024, 1024))
        p.grad = torch.ones_like(p)
        optimizer = make([p])
        step(optimizer, 0)
        found[name] = sum(s.numel() * s.element_size() for s in optimizer.state[p].values()) / p.numel()
    return found


# ------------------------------------------------------------------------------ what the defaults rest on


def updates(
    settings: dict[str, Any], forget: float, retain: float, noise: float, rounds: int
) -> torch.Tensor:
    """Return the forget side's updates, [rounds, coordinates], undivided by the second moment."""
    generator = torch.Generator().manual_seed(0)
    p = nn.Parameter(torch.zeros(4000, dtype=torch.float64))
    optimizer = DualOptimPlus([p], lr=1e9, eps=1e9, **settings)
    found = []
    for _ in range(rounds):
        for side, mean in (("forget", forget), ("retain", retain)):
            p.grad = mean + noise * torch.randn(4000, generator=generator, dtype=torch.float64)
            with torch.no_grad():
                p.zero_()
            optimizer.step(side=side)
            if side == "forget":
                found.append(-p.detach().clone())
    return torch.stack(found)


def longest_steps(settings: dict[str, Any], forget: float) -> dict[str, float]:
    """Return the retain side's longest steps in rates, over 50 rounds of 1 + 5 steps, and how many v < 0."""
    generator = torch.Generator().manual_seed(1)
    p = nn.Parameter(torch.zeros(4000, dtype=torch.float64))
    optimizer = DualOptimPlus([p], lr=1.0, **settings)
    longest = torch.zeros(4000, dtype=torch.float64)
    for _ in range(50):
        for side, mean in (("forget", forget), *(("retain", 1.0),) * 5):
            p.grad = mean + 0.3 * torch.randn(4000, generator=generator, dtype=torch.float64)
            before = p.detach().clone()
            optimizer.step(side=side)
            if side == "retain":
                longest = longest.maximum((p.detach() - before).abs())
    negative = optimizer.diagnostics(lambda value: value).get("negative_v/retain", torch.zeros(()))
    return {
        "median": longest.median().item(),
        "quantile_95": longest.quantile(0.95).item(),
        "negative": negative.item(),
    }


def longest_dead(settings: dict[str, Any]) -> float:
    """Return the retain side's longest step in rates where it never has a gradient and the forget side has one."""
    generator = torch.Generator().manual_seed(2)
    p = nn.Parameter(torch.zeros(4000, dtype=torch.float64))
    optimizer = DualOptimPlus([p], lr=1.0, **settings)
    longest = 0.0
    for _ in range(100):
        for side in ("forget", "retain"):
            noise = torch.randn(4000, generator=generator, dtype=torch.float64)
            p.grad = torch.zeros_like(p) if side == "retain" else 1.0 + noise
            before = p.detach().clone()
            optimizer.step(side=side)
            if side == "retain":
                longest = max(longest, (p.detach() - before).abs().max().item())
    return longest


RULES: dict[str, dict[str, Any]] = {
    "measured": {},
    "measured, lagged": {"order": "lagged"},
    "measured, base decay .9": {"base_betas": (0.9, 0.999)},
    "measured, shared": {"second_moment": "shared"},
    "measured, no floor": {"v_floor": 0.0},
    "slides": {"preset": "slides"},
    "slides, floor 0.01": {"preset": "slides", "v_floor": 0.01},
    "authors": {"preset": "authors"},
}


def steadiness() -> dict[str, dict[str, Any]]:
    """Return noise, error and longest steps of each rule."""
    found = {}
    for name, settings in RULES.items():
        error = {}
        for case, retain in (("agreeing", 1.0), ("unrelated", 0.0), ("opposed", -1.0)):
            some = updates(settings, 1.0, retain, 1.0, 20)
            error[case] = (some - 1.0).square().mean().sqrt().item()
        quiet = updates(settings, 1.0, 1.0, 0.0, 20)
        found[name] = {
            "noise": updates(settings, 0.0, 0.0, 1.0, 400)[-50:].var().item(),
            "error_20_rounds": error,
            "overshoot_agreeing": quiet.max().item(),
            "longest_3_to_1": longest_steps(settings, -3.0),
            "longest_10_to_1": longest_steps(settings, -10.0),
            "longest_without_gradient": longest_dead(settings),
        }
    return found


# -------------------------------------------------------------------------------------------- report


def report(small: bool, steps: int, device: str) -> dict[str, Any]:
    """Measure everything and return it with what it was measured on."""
    spent = measure_time(small, steps, device)
    ratios = {name: ratio(spent, name, "adamw_fused") for name in spent}
    parameters = sum(p.numel() for p in build(small)[0].parameters())
    where = processor() if device == "cpu" else torch.cuda.get_device_name()
    return {
        "format": 1,
        "command": "python benchmarks/optimizer_state.py",
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "hardware": {"processor": where, "threads": torch.get_num_threads()},
        "versions": {name: importlib.metadata.version(name) for name in ("torch", "torchao", "bitsandbytes")},
        "parameters": parameters,
        "steps": steps,
        "ms_per_step": {name: 1e3 * statistics.median(times) for name, times in spent.items()},
        "ratio_to_fused_adamw": ratios,
        "goals": {name: {"at_most": most, "found": ratios[name]["median"]} for name, most in GOALS.items()},
        "bytes_per_parameter": bytes_each(),
        "adam_noise": 0.1 / 1.9,
        "steadiness": steadiness(),
    }


def table(results: dict[str, Any]) -> str:
    """Return bytes and times as markdown, with the goal beside what was found."""
    lines = [
        "| optimizer | bytes / parameter | time / fused AdamW (quartiles) | goal |",
        "|:---|---:|---:|:---|",
    ]
    for name, found in results["ratio_to_fused_adamw"].items():
        spread = f"{found['median']:.2f} ({found['quartile_1']:.2f} to {found['quartile_3']:.2f})"
        goal = verdict(found["median"], results["goals"].get(name, {}).get("at_most"))
        lines.append(f"| `{name}` | {results['bytes_per_parameter'][name]:.2f} | {spread} | {goal} |")
    return "\n".join(lines)


def steadiness_table(results: dict[str, Any]) -> str:
    """Return what the defaults rest on as markdown."""
    lines = [
        "| rule | noise | error, agreeing / unrelated / opposed | overshoot | longest step, 3 to 1 | 10 to 1 "
        "| no gradient | v < 0 |",
        "|:---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, found in results["steadiness"].items():
        error = " / ".join(f"{found['error_20_rounds'][c]:.2f}" for c in ("agreeing", "unrelated", "opposed"))
        lines.append(
            f"| {name} | {found['noise'] / results['adam_noise']:.2f} | {error} | {found['overshoot_agreeing']:.2f} | "
            f"{found['longest_3_to_1']['quantile_95']:.1f} | {found['longest_10_to_1']['quantile_95']:.1f} | "
            f"{found['longest_without_gradient']:.2g} | "
            f"{100 * found['longest_10_to_1']['negative']:.0f} % |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure, print, and write where asked."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--small", action="store_true", help="a tiny model, to try the script")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    if any(os.environ.get(name) != value for name, value in KEEP.items()):
        # Read at the start of a process only.
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | KEEP)
    torch.set_num_threads(1)
    results = report(arguments.small, arguments.steps, arguments.device)
    print(table(results), steadiness_table(results), sep="\n\n")
    if arguments.out is not None:
        atomic_write_json(arguments.out, results)


if __name__ == "__main__":
    main()
