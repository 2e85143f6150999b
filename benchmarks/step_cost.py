"""What a round costs: NGDiff beside two plain passes and TorchJD's IMTL-G, and GeN on top of it.

    python benchmarks/step_cost.py --out benchmarks/results/step_cost.json

One run prints the ratios that were measured in it. A baseline round is what any user would write:
two forward and two backward passes that accumulate in ``p.grad``, and fused AdamW. Time is CPU time of
one thread; the variants take turns round by round, so that a machine that slows down slows all of them,
and each ratio is a median over rounds made at the same time. Peak memory is that of a process of its own for
each variant, library code included.

The C library's allocator is told to keep freed memory, as allocators for GPUs do. Left alone, glibc hands
100 MiB of gradients back to the system in each round of some variants and not of others, as the heap happens
to lie; ``--system-allocator`` measures that.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import random
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from unlearnkit.artifacts import atomic_write_json
from unlearnkit.gradients.gen_step import GeNCore
from unlearnkit.host import PlainHost
from unlearnkit.models import CausalLM
from unlearnkit.objectives import NLL, AscentNLL
from unlearnkit.strategies import NGDiff

GEN_EVERY = 10
KEEP = {"MALLOC_TRIM_THRESHOLD_": str(2**31 - 1), "MALLOC_MMAP_THRESHOLD_": str(2**31 - 1)}
"""What tells glibc to keep freed memory; other C libraries ignore it."""


class Tokens:
    """What a tokenizer must offer for a model to be built."""

    pad_token_id, bos_token_id, eos_token_id = 0, 1, 2

    def __init__(self, size: int) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size


def build(small: bool) -> tuple[CausalLM, list[dict[str, Any]]]:
    """Return a Llama of 13.7 million parameters and batches of 4 sequences of 64 tokens."""
    width, layers, heads, words = (64, 2, 2, 500) if small else (320, 6, 5, 12000)
    model = CausalLM(hidden_size=width, layers=layers, heads=heads, max_length=64)
    model.materialize(Tokens(words))
    generator = torch.Generator().manual_seed(0)
    batches = []
    for _ in range(3):
        ids = torch.randint(3, words, (4, 64), generator=generator)
        labels = ids.clone()
        labels[:, :16] = -100
        batches.append(
            {
                "input_ids": ids,
                "attention_mask": torch.ones_like(ids),
                "labels": labels,
                "index": torch.arange(4),
            }
        )
    return model, batches


def mean_loss(model: CausalLM, batch: dict[str, Any]) -> torch.Tensor:
    """Return the mean loss per scored token."""
    return model.losses(batch).sum() / model.counts(batch).sum()


Round = Callable[[], Any]


@dataclass
class Bench:
    """One model with its batches and its optimizer: retain, forget and a fresh retain batch."""

    small: bool

    def __post_init__(self) -> None:
        self.model, (self.retain, self.forget, self.fresh) = build(self.small)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-5, weight_decay=0.0, fused=True)
        self.pair: Any = {"retain": self.retain, "forget": self.forget}

    def host(self) -> PlainHost:
        """Return the host of the variants that are ours."""
        return PlainHost(self.model, forget=AscentNLL(), retain=NLL(), optimizer=self.optimizer)


def two_passes(bench: Bench) -> Round:
    """Make the baseline: both gradients accumulate in ``p.grad``, equal weights."""
    model, optimizer = bench.model, bench.optimizer

    def round_() -> None:
        optimizer.zero_grad(set_to_none=True)
        mean_loss(model, bench.retain).backward()
        (-mean_loss(model, bench.forget)).backward()
        optimizer.step()

    return round_


def ngdiff(bench: Bench) -> Round:
    """Make NGDiff's round."""
    host, strategy = bench.host(), NGDiff()
    return lambda: strategy.step(host, bench.pair)


def torchjd(bench: Bench) -> Round:
    """Make the same direction up to its length with TorchJD: IMTL-G of the stacked Jacobian."""
    from torchjd import autojac
    from torchjd.aggregation import IMTLG

    model, optimizer, aggregator = bench.model, bench.optimizer, IMTLG()

    def round_() -> None:
        optimizer.zero_grad(set_to_none=True)
        losses = [mean_loss(model, bench.retain), -mean_loss(model, bench.forget)]
        # One row at a time: its default vectorises the backward pass, which costs more memory.
        autojac.backward(losses, parallel_chunk_size=1)
        autojac.jac_to_grad(model.parameters(), aggregator)
        optimizer.step()

    return round_


def with_gen(preset: Any) -> Callable[[Bench], Round]:
    """Make rounds of NGDiff with GeN around them."""

    def make(bench: Bench) -> Round:
        host, strategy, gen = bench.host(), NGDiff(), GeNCore(GEN_EVERY, preset)
        fresh: Any = {"retain": bench.fresh, "forget": bench.forget} if preset == "autogen" else None
        return lambda: gen.step(strategy, host, bench.pair, fresh)

    return make


VARIANTS: dict[str, Callable[[Bench], Round]] = {
    "two_passes": two_passes,
    "ngdiff": ngdiff,
    "torchjd_imtl_g": torchjd,
    "gen_paper": with_gen("paper"),
    "gen_autogen": with_gen("autogen"),
}


# -------------------------------------------------------------------------------------------- time


def measure_time(small: bool, turns: int) -> dict[str, list[float]]:
    """Return the CPU seconds of each round of each variant; GeN fits in every tenth, from the first on."""
    shared = Bench(small)  # one place in memory for all that is compared with the baseline
    rounds = {
        name: make(Bench(small) if name.startswith("gen") else shared) for name, make in VARIANTS.items()
    }
    for name, round_ in rounds.items():
        # GeN's first two fits search and check, which a run pays once.
        for _ in range(2 * GEN_EVERY if name.startswith("gen") else 3):
            round_()
    found: dict[str, list[float]] = {name: [] for name in rounds}
    order, shuffle = list(rounds), random.Random(0)
    for turn in range(turns):
        for _ in range(GEN_EVERY):
            shuffle.shuffle(order)  # what ran before leaves its mark on the caches
            for name in order:
                start = time.process_time()
                rounds[name]()
                found[name].append(time.process_time() - start)
        print(f"\rturn {turn + 1} of {turns}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return found


def ratio(found: dict[str, list[float]], name: str, base: str = "two_passes") -> dict[str, float]:
    """Return median and quartiles of the ratio to the baseline of the same turn."""
    values = [a / b for a, b in zip(found[name], found[base], strict=True)]
    low, middle, high = statistics.quantiles(values, n=4)
    return {"median": middle, "quartile_1": low, "quartile_3": high}


def gen_share(found: dict[str, list[float]], name: str) -> dict[str, float]:
    """Return what a fit adds to ten rounds, as a share; the other nine rounds are NGDiff's own."""
    fit = statistics.median(found[name][::GEN_EVERY])
    others = statistics.median(t for i, t in enumerate(found[name]) if i % GEN_EVERY)
    return {"share": (fit - others) / (GEN_EVERY * others), "ms_of_a_fit": 1e3 * (fit - others)}


def lightning_overhead(rounds: int = 300) -> float:
    """Return what the trainer adds to a round in CPU milliseconds, measured where the rest is small."""
    from lightning.pytorch import Callback, Trainer

    from unlearnkit.modules import UnlearningModule

    class Clock(Callback):
        def __init__(self) -> None:
            self.times: list[float] = []

        def on_train_batch_start(self, *_: Any) -> None:
            self.times.append(time.process_time())

    bench = Bench(small=True)
    clock = Clock()
    trainer = Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        max_epochs=1,
        callbacks=[clock],
    )
    loader = torch.utils.data.DataLoader([bench.pair] * rounds, batch_size=None)  # type: ignore[arg-type]
    trainer.fit(UnlearningModule(bench.model), loader)
    inside = [b - a for a, b in zip(clock.times, clock.times[1:], strict=False)]
    round_, plain = ngdiff(Bench(small=True)), []
    for _ in range(rounds):
        start = time.process_time()
        round_()
        plain.append(time.process_time() - start)
    # The lower quartile, because others on the machine only ever add to a round of a few milliseconds.
    return 1e3 * (statistics.quantiles(inside, n=4)[0] - statistics.quantiles(plain, n=4)[0])


# ------------------------------------------------------------------------------------------ memory


def resident_peak() -> int:
    """Return the peak resident memory of this process in bytes."""
    status = Path("/proc/self/status")
    if status.exists():  # `getrusage` would count the parent's memory, which the child starts with
        found = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return 1024 * int(found.split()[1])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def peak_memory(name: str, small: bool) -> int:
    """Return the peak memory of this process after some rounds of one variant, in bytes."""
    round_ = VARIANTS[name](Bench(small))
    for _ in range(GEN_EVERY + 2 if name.startswith("gen") else 3):
        round_()
    return resident_peak()


def measure_memory(small: bool) -> dict[str, int]:
    """Return the peak memory of each variant, each in a process of its own."""
    found = {}
    for name in VARIANTS:
        command = [sys.executable, __file__, "--memory-of", name, *(["--small"] if small else [])]
        # Freed tensors go back to the system at once here, so that the peak is that of living tensors.
        environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "0"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        found[name] = int(done.stdout.split()[-1])
    return found


# ------------------------------------------------------------------------------------------ report


def processor() -> str:
    """Return the processor's name, where the system tells it."""
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []:
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def verdict(found: float, at_most: float | None) -> str:
    """Return a goal and whether a ratio meets it, both with the two digits that tables have; nothing without a goal.

    >>> verdict(1.034, 1.03), verdict(1.036, 1.03), verdict(1.0, None)
    ('at most 1.03: met', 'at most 1.03: missed', '')
    """
    if at_most is None:
        return ""
    return f"at most {at_most:.2f}: {'met' if round(found, 2) <= at_most else 'missed'}"


def report(small: bool, turns: int, allocator: str) -> dict[str, Any]:
    """Measure everything and return it with what it was measured on."""
    model, _ = build(small)
    parameters = sum(p.numel() for p in model.parameters())
    found = measure_time(small, turns)
    memory = measure_memory(small)
    gradient = 4 * parameters
    ratios = {name: ratio(found, name) for name in ("ngdiff", "torchjd_imtl_g")}
    gen = {name: gen_share(found, name) for name in ("gen_paper", "gen_autogen")}
    return {
        "format": 1,
        "command": "python benchmarks/step_cost.py",
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "hardware": {"processor": processor(), "threads": torch.get_num_threads(), "allocator": allocator},
        "versions": {name: importlib.metadata.version(name) for name in ("torch", "transformers", "torchjd")},
        "model": {"parameters": parameters, "batches": "2 of 4 x 64 tokens", "dtype": "float32"},
        "rounds": turns * GEN_EVERY,
        "ms_per_round": {name: 1e3 * statistics.median(spent) for name, spent in found.items()},
        "ratio_to_two_passes": ratios,
        "gen": gen,
        "goals": {
            "ngdiff_over_two_passes": {"at_most": 1.02, "found": ratios["ngdiff"]["median"]},
            "gen_paper_share": {"at_most": 0.04, "found": gen["gen_paper"]["share"]},
            "gen_autogen_share": {"at_most": 0.07, "found": gen["gen_autogen"]["share"]},
            "gradient_copies": {
                "at_most": 1.0,
                "found": (memory["ngdiff"] - memory["two_passes"]) / gradient,
            },
        },
        "peak_memory_mib": {name: round(size / 2**20, 1) for name, size in memory.items()},
        "gradient_mib": round(gradient / 2**20, 1),
        "lightning_ms_per_round": lightning_overhead(),
    }


def table(results: dict[str, Any]) -> str:
    """Return the results as text."""
    lines = [
        f"{results['model']['parameters'] / 1e6:.1f} million parameters, {results['model']['batches']}, "
        f"{results['rounds']} rounds each, {results['hardware']['processor']}, one thread",
        f"{'variant':<16}{'ms/round':>10}{'cost':>34}{'peak MiB':>10}",
    ]
    for name, milliseconds in results["ms_per_round"].items():
        cost = ""
        if name in results["ratio_to_two_passes"]:
            cost = f"{results['ratio_to_two_passes'][name]['median']:.3f} x two_passes"
        elif name in results["gen"]:
            found = results["gen"][name]
            cost = f"{100 * found['share']:.1f} % of ngdiff ({found['ms_of_a_fit']:.0f} ms a fit)"
        lines.append(f"{name:<16}{milliseconds:>10.1f}{cost:>34}{results['peak_memory_mib'][name]:>10}")
    trainer = results["lightning_ms_per_round"]
    lines.append(f"one gradient: {results['gradient_mib']} MiB; the trainer adds {trainer:.1f} ms to a round")
    for name, goal in results["goals"].items():
        met = "met" if goal["found"] <= goal["at_most"] else "MISSED"
        lines.append(f"goal {name} <= {goal['at_most']}: {goal['found']:.3f} ({met})")
    return "\n".join(lines)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--turns", type=int, default=8, help="turns of ten rounds of each variant")
    parser.add_argument("--small", action="store_true", help="a tiny model, to try the script")
    parser.add_argument("--out", type=Path, help="write the results as JSON")
    parser.add_argument(
        "--system-allocator", action="store_true", help="let the C library hand freed memory back"
    )
    parser.add_argument("--memory-of", choices=VARIANTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.memory_of:
        print(peak_memory(options.memory_of, options.small))
        return
    if not options.system_allocator and KEEP.items() - os.environ.items():
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | KEEP)  # read at start only
    results = report(options.small, options.turns, "system" if options.system_allocator else "keeps memory")
    print(table(results))
    if options.out:
        atomic_write_json(options.out, results)


if __name__ == "__main__":
    main()
