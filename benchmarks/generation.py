"""What sampling and rounds of generation cost beside a loop by hand and beside plain passes on the same network.

    python benchmarks/generation.py --out benchmarks/results/generation.json

Sampling: images per second of ``DiffusionModel.sample`` against the loop that any user would write around the same
network (DDIM without noise, guided, both predictions in one batch). Rounds: seconds of a round of each method against
its plain passes: the same forward and backward passes of the network on noised images that are there already, the same
optimizer. Time is CPU time of one thread; what is compared takes turns, and each ratio is a median over turns. On a GPU
(--device cuda) it is wall time.
"""

from __future__ import annotations

import argparse
import copy
import random
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from unlearnkit.artifacts import atomic_write_json
from unlearnkit.batches import SIDES, ImageTraits, Side
from unlearnkit.evaluators.base import versions
from unlearnkit.gradients import Mask
from unlearnkit.host import PlainHost, side_argument
from unlearnkit.keyed_draws import derived, normal, row_keys
from unlearnkit.models import DiffusionModel
from unlearnkit.models.diffusion_sampling import START
from unlearnkit.objectives import (
    NLL,
    AdaptiveAscent,
    AscentNLL,
    Objective,
    Replay,
    UniformPixels,
    WrongCondition,
)
from unlearnkit.optim import DualOptim, DualOptimPlus
from unlearnkit.strategies import Alternate, FixedWeights, NGDiff, Strategy
from unlearnkit.study.environment import hardware

GOAL = 1.05
"""Largest ratio of our time to that of the plain work."""

Round = Callable[[], Any]

NETWORKS: dict[str, dict[str, Any]] = {
    "unet": {"network": "unet", "width": 16},
    "dit": {"network": "dit", "width": 48, "layers": 3},
    "tiny": {"network": "unet", "width": 4, "multipliers": [1]},
}


class Bench:
    """One network, a batch for each side, and the noise that plain passes need.

    Args:
        network: A name of ``NETWORKS``.
        device: Where everything is.
        height: Height of the images, in pixels.
        size: Images of a side.
    """

    def __init__(self, network: str, device: torch.device, height: int, size: int) -> None:
        self.model = DiffusionModel(**NETWORKS[network])
        self.model.materialize(ImageTraits(classes=10, channels=1, height=height))
        self.model.to(device).train()
        generator = torch.Generator().manual_seed(0)
        self.pair: Any = {}
        for number, side in enumerate(("forget", "retain")):
            index = torch.arange(size) + number * size
            self.pair[side] = {
                "inputs": torch.randint(
                    256, (size, 1, height, height), generator=generator, dtype=torch.uint8
                ),
                "targets": torch.randint(10, (size,), generator=generator),
                "index": index,
                "keys": row_keys(0, 0, index),
            }
            self.pair[side] = {name: value.to(device) for name, value in self.pair[side].items()}
        self.noised = {side: self.model.noised(batch) for side, batch in self.pair.items()}
        self.classes = torch.arange(size, device=device) % 10
        self.keys = row_keys(0, -1, torch.arange(size, device=device))
        self.device = device

    def loss(self, side: Side) -> Tensor:
        """Return the plain denoising loss: one forward pass on images that are noised already."""
        found = self.noised[side]
        predicted = self.model.network(
            found.values, timestep=found.steps, class_labels=found.conditions, return_dict=False
        )[0]
        return mse_loss(predicted, found.noise)


# ------------------------------------------------------------------------------------ sampling


def ours(bench: Bench, steps: int) -> Tensor:
    """Sample by the model's own method."""
    return bench.model.sample(
        bench.classes, steps=steps, guidance=1.0, keys=bench.keys, batch_size=len(bench.classes)
    )


@torch.no_grad()
def by_hand(bench: Bench, steps: int) -> Tensor:
    """Sample by the loop that DDIM's paper has, from the same noise."""
    network: Any = bench.model.network
    network.eval()
    n, height = len(bench.classes), network.config.sample_size
    kept = bench.model.scheduler.alphas_cumprod.to(bench.device)
    values = normal(derived(bench.keys, 0), START, (1, height, height))
    both = torch.cat([bench.classes, torch.full_like(bench.classes, 10)])
    stride = 1000 // steps
    for step in range((steps - 1) * stride, -1, -stride):
        output = network(
            values.repeat(2, 1, 1, 1),
            timestep=torch.full((2 * n,), step, device=bench.device),
            class_labels=both,
        ).sample
        noise = 2.0 * output[:n] - output[n:]
        now, before = kept[step], kept[step - stride] if step >= stride else torch.ones(())
        image = ((values - (1 - now).sqrt() * noise) / now.sqrt()).clamp(-1, 1)
        noise = (values - now.sqrt() * image) / (1 - now).sqrt()
        values = before.sqrt() * image + (1 - before).sqrt() * noise
    network.train()
    return ((values + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


# -------------------------------------------------------------------------------------- rounds


@dataclass(frozen=True)
class Method:
    """A method, and what its plain passes are.

    Attributes:
        forget: Makes its forget objective.
        strategy: Makes its strategy.
        optimizer: Makes its optimizer.
        retain: Makes its retain objective.
        masked: Whether half of the weights are frozen (plain passes move all).
        asked: Forward passes without gradients beside those of the two sides.
        apart: Whether each side has a step of its own.
    """

    forget: Callable[[], Objective]
    strategy: Callable[[], Strategy]
    optimizer: Callable[[Any], torch.optim.Optimizer]
    retain: Callable[[], Objective] = NLL
    masked: bool = False
    asked: int = 0
    apart: bool = False


def adamw(parameters: Any) -> torch.optim.Optimizer:
    """Return an optimizer at a rate that leaves the network as it is in effect."""
    return torch.optim.AdamW(parameters, lr=1e-7, weight_decay=0.0, fused=True)


def dual(parameters: Any) -> torch.optim.Optimizer:
    """Return DualOptim with two AdamWs."""
    return DualOptim(parameters, forget=adamw, retain=adamw)


def plus(parameters: Any) -> torch.optim.Optimizer:
    """Return DualOptim+."""
    return DualOptimPlus(parameters, lr=1e-7)


def replay() -> Replay:
    """Return SA's retain side with few samples, which are drawn before anything is measured."""
    return Replay(
        per_class=4, distance=1e-6, fisher_samples=1, fisher_steps=4, steps=2, classes=list(range(9))
    )


METHODS: dict[str, Method] = {
    "GA+GD": Method(AscentNLL, lambda: FixedWeights(c=0.5), adamw),
    "NGDiff": Method(AscentNLL, NGDiff, adamw),
    "SalUn": Method(WrongCondition, lambda: FixedWeights(c=0.5), adamw, masked=True, asked=1),
    "SalUn + DualOptim": Method(WrongCondition, Alternate, dual, masked=True, asked=1, apart=True),
    "SalUn + DualOptim+": Method(WrongCondition, Alternate, plus, masked=True, asked=1, apart=True),
    "SFRon": Method(AdaptiveAscent, Alternate, adamw, apart=True),
    "SFRon + DualOptim": Method(AdaptiveAscent, Alternate, dual, apart=True),
    "SFRon + DualOptim+": Method(AdaptiveAscent, Alternate, plus, apart=True),
    "SA": Method(UniformPixels, lambda: FixedWeights(c=0.5), adamw, replay),
}


def round_of(bench: Bench, method: Method) -> Round:
    """Return a method's round in plain torch."""
    reference = copy.deepcopy(bench.model).requires_grad_(False).eval()
    host = PlainHost(
        bench.model,
        forget=method.forget(),
        retain=method.retain(),
        optimizer=method.optimizer(bench.model.parameters()),
        reference=lambda: reference,
    )
    if method.masked:
        generator = torch.Generator(bench.device).manual_seed(0)
        kept = [torch.rand(p.shape, generator=generator, device=bench.device) < 0.5 for p in host.parameters]
        host.mask = Mask(kept, host.parameters)
    strategy = method.strategy()
    return lambda: strategy.step(host, bench.pair)


def plain_of(bench: Bench, method: Method) -> Round:
    """Return the same passes and steps without a library."""
    optimizer: Any = method.optimizer(bench.model.parameters())

    def step(side: Side) -> None:
        optimizer.step(**side_argument(optimizer, side))
        optimizer.zero_grad(set_to_none=True)

    def round_() -> None:
        with torch.no_grad():
            for _ in range(method.asked):
                bench.loss("forget")
        for side in SIDES:
            bench.loss(side).backward()
            if method.apart or side == "retain":
                step(side)

    return round_


# ------------------------------------------------------------------------------------- measuring


def seconds_of(work: Callable[[], Any], device: torch.device) -> float:
    """Return the CPU seconds of some work, or the wall time of it on a GPU."""
    if device.type != "cuda":
        start = time.process_time()
        work()
        return time.process_time() - start
    torch.cuda.synchronize(device)
    start = time.perf_counter()
    work()
    torch.cuda.synchronize(device)
    return time.perf_counter() - start


def compare(works: dict[str, Callable[[], Any]], turns: int, device: torch.device) -> dict[str, list[float]]:
    """Return the seconds of each work, turn by turn, in another order each."""
    for work in works.values():
        work()
    found: dict[str, list[float]] = {name: [] for name in works}
    order, shuffle = list(works), random.Random(0)
    for _ in range(turns):
        shuffle.shuffle(order)
        for name in order:
            found[name].append(seconds_of(works[name], device))
    return found


def ratio(ours: list[float], theirs: list[float]) -> dict[str, float]:
    """Return the median and the quartiles of ratios of one turn."""
    ratios = [own / other for own, other in zip(ours, theirs, strict=True)]
    first, median, third = statistics.quantiles(ratios, n=4)
    return {"median": round(median, 3), "quartile_1": round(first, 3), "quartile_3": round(third, 3)}


def measure(
    network: str, device: torch.device, turns: int, size: int, steps: int, height: int
) -> dict[str, Any]:
    """Measure sampling and all rounds of one network."""
    bench = Bench(network, device, height, size)
    found = compare(
        {"ours": lambda: ours(bench, steps), "by hand": lambda: by_hand(bench, steps)}, turns, device
    )
    rates = {name: round(size / statistics.median(times), 1) for name, times in found.items()}
    rows = {}
    for name, method in METHODS.items():
        times = compare({"ours": round_of(bench, method), "plain": plain_of(bench, method)}, turns, device)
        rows[name] = {
            "seconds": round(statistics.median(times["ours"]), 5),
            **ratio(times["ours"], times["plain"]),
        }
    return {
        "network": network,
        "parameters": sum(p.numel() for p in bench.model.parameters()),
        "device": str(device),
        "images": size,
        "height": height,
        "steps": steps,
        "turns": turns,
        "images_per_second": rates,
        "sampling": ratio(found["ours"], found["by hand"]),
        "rounds": rows,
    }


def verdict(found: float) -> str:
    """Return whether the goal is met.

    >>> verdict(1.2)
    'goal 1.05: missed'
    """
    return f"goal {GOAL:g}: {'met' if found <= GOAL else 'missed'}"


def table(results: dict[str, Any]) -> str:
    """Return all rows as Markdown."""
    lines = ["| network | work | time / plain work (quartiles) | goal |", "|:---|:---|---:|:---|"]
    for found in results["networks"]:
        rates = found["images_per_second"]
        what = f"sampling, {rates['ours']:,.0f} images/s (by hand {rates['by hand']:,.0f})"
        for name, row in ({what: found["sampling"]} | found["rounds"]).items():
            spread = f"{row['median']:.2f} ({row['quartile_1']:.2f} to {row['quartile_3']:.2f})"
            lines.append(f"| {found['network']} | {name} | {spread} | {verdict(row['median'])} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=["unet", "dit"])
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--height", type=int, default=8)
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    parser.add_argument("--out", type=Path, help="write the results as JSON")
    given = parser.parse_args()
    torch.set_num_threads(1)
    sizes = given.turns, given.images, given.steps, given.height
    results = {
        "command": "python benchmarks/generation.py",
        "date": datetime.now(UTC).date().isoformat(),
        "hardware": hardware(),
        "versions": versions(),
        "networks": [measure(network, given.device, *sizes) for network in given.networks],
    }
    print(table(results))
    if given.out is not None:
        atomic_write_json(given.out, results)


if __name__ == "__main__":
    main()
