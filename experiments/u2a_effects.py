"""What unlearning does to J, exactly: figures 1 and 2 and eq. 7 of paper 004 on the toy world, where J is summed out.

    python experiments/u2a_effects.py --out experiments/u2a_effects

The inner problem, ``theta(w) = argmin sum_i w_i log p_i + lambda |theta - theta*|^2``, is solved by gradient descent in
float64 from the target (the tables say how often), and J is summed out before and after, so nothing is drawn. Figures 1
and 2: 60 random groups of 32 negatives (the paper has 150), weight 1 on a group's mean. Equation 7: different negatives
one by one, for several lambda, with the factor 1 / (2 lambda) that the paper drops. Twice: no answer mislabelled, and a
third of the rejected ones ideal.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # as a script, it knows its own folder only

from unlearnkit.alignment import ExactJ
from unlearnkit.artifacts import atomic_write_json, atomic_write_text
from unlearnkit.batches import TokenBatch
from unlearnkit.evaluators.base import versions
from unlearnkit.gradients import inner_products
from unlearnkit.objectives import AscentNLL
from unlearnkit.plots.figure import file_grid, save
from unlearnkit.plots.palette import figure_style
from unlearnkit.study.environment import hardware
from unlearnkit.synthetic.toy_preferences import (
    LENGTH,
    WORDS,
    toy_preferences,
    toy_prompts,
    toy_reward,
    toy_tokens,
)
from unlearnkit.testing.tiny_gpt import TinyGPT, toy_sides, toy_target

RATES = {"no wrong label": 0.0, "a third mislabelled": 1 / 3}
GROUP_LAMBDA = 300.0
LAMBDAS = (100.0, 300.0, 1000.0, 10000.0)
CURVATURE = 60.0
"""About the largest curvature of a negative's log-likelihood here; with 2 lambda it bounds the step."""

SETTLED = 1e-4
"""Norm of the inner problem's gradient, over that at the start, at which it counts as solved."""


class World:
    """A target, its negatives, J, and the gain of each different negative.

    Args:
        rate: Share of mislabelled pairs.
        seed: Seed of pairs and weights.
    """

    def __init__(self, rate: float, seed: int) -> None:
        negatives, _ = toy_sides(toy_preferences(mislabel_rate=rate, seed=seed))
        answers = [(pair.prompt, pair.rejected) for pair in negatives]
        unique = sorted(set(answers))
        self.place = torch.tensor([unique.index(answer) for answer in answers])
        self.batch: TokenBatch = toy_tokens([prompt for prompt, _ in unique], [words for _, words in unique])
        self.target = toy_target(rate, seed, dtype=torch.float64)
        self.j = ExactJ(toy_prompts(), toy_reward, words=len(WORDS), length=LENGTH)
        self.start = self.j.value(self.target)
        responses = self.batch["input_ids"][:, 2:]
        rewards = toy_reward(self.batch["input_ids"][:, :2], responses)
        self.low = (rewards < rewards[self.place].mean()).double().mean(1)
        self.reward = rewards.sum(1)
        self.gains = -inner_products(
            lambda batch: AscentNLL()(self.target, batch).sums,
            self.target,
            [self.batch],
            self.j.gradient(self.target),
        )

    def effect(self, weights: Tensor, lam: float, steps: int = 60) -> tuple[float, bool]:
        """Return by how much J changes when negatives are unlearned with weights [u], and whether that was solved."""
        model = TinyGPT(dtype=torch.float64)
        model.load_state_dict(self.target.state_dict())
        parameters, starts = list(model.parameters()), list(self.target.parameters())
        first = norm = float("nan")
        for step in range(steps):
            value = -(weights * model.losses(self.batch)).sum()
            gradients = torch.autograd.grad(value, parameters)
            with torch.no_grad():
                pulls = [g + 2 * lam * (p - s) for g, p, s in zip(gradients, parameters, starts, strict=True)]
                norm = float(torch.stack([pull.square().sum() for pull in pulls]).sum().sqrt())
                first = norm if step == 0 else first
                if norm <= SETTLED * first or norm != norm:
                    break
                for p, pull in zip(parameters, pulls, strict=True):
                    p -= pull / (2 * lam + CURVATURE)
        return self.j.value(model) - self.start, norm <= SETTLED * first


def spearman(a: Sequence[float], b: Sequence[float]) -> float:
    """Return the rank correlation.

    >>> spearman([1.0, 2.0, 3.0], [3.0, 2.0, 1.0])
    -1.0
    """
    ranks = torch.stack([torch.tensor(list(values)).argsort().argsort().double() for values in (a, b)])
    return round(float(torch.corrcoef(ranks)[0, 1]), 12)


def groups(world: World, number: int, size: int, seed: int) -> list[dict[str, float]]:
    """Unlearn random groups of negatives, each with weight 1; return what was done and what it did."""
    generator, found = torch.Generator().manual_seed(seed), []
    for _ in range(number):
        members = world.place[torch.randperm(len(world.place), generator=generator)[:size]]
        weights = torch.bincount(members, minlength=len(world.low)).double() / size
        change, solved = world.effect(weights, GROUP_LAMBDA)
        found.append(
            {
                "change": change,
                "predicted": float((weights * world.gains).sum()) / (2 * GROUP_LAMBDA),
                "low": float((weights * world.low).sum()),
                "reward": float((weights * world.reward).sum()),
                "solved": solved,
            }
        )
    return found


def singles(world: World, number: int, seed: int) -> dict[str, dict[str, float]]:
    """Unlearn negatives one by one for each lambda; return how well eq. 7 says what that does."""
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(len(world.low), generator=generator)[:number]
    found = {}
    for lam in LAMBDAS:
        true, said, solved = [], [], []
        for place in chosen.tolist():
            weights = torch.zeros(len(world.low), dtype=torch.float64)
            weights[place] = 1.0
            change, done = world.effect(weights, lam)
            true.append(change)
            said.append(float(world.gains[place]) / (2 * lam))
            solved.append(done)
        finite = [(t, s) for t, s in zip(true, said, strict=True) if t == t]
        slope = sum(t * s for t, s in finite) / sum(s * s for _, s in finite)
        found[f"{lam:g}"] = {
            "spearman": spearman([t for t, _ in finite], [s for _, s in finite]),
            "sign": sum((t > 0) == (s > 0) for t, s in finite) / len(finite),
            "slope": slope,
            "solved": sum(solved) / len(solved),
        }
    return found


def measure(seeds: Sequence[int], number: int, size: int, each: int) -> dict[str, Any]:
    """Return everything, with what it was made on."""
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in RATES}
    for seed in seeds:
        for name, rate in RATES.items():
            world = World(rate, seed)
            done = groups(world, number, size, seed)
            runs[name].append(
                {
                    "seed": seed,
                    "J": world.start,
                    "groups": done,
                    "summary": summarise(done),
                    "eq7": singles(world, each, seed),
                }
            )
            print(f"seed {seed}, {name}: {runs[name][-1]['summary']}", file=sys.stderr, flush=True)
    return {
        "format": 1,
        "command": "python experiments/u2a_effects.py --out experiments/u2a_effects",
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "hardware": hardware(),
        "versions": versions(),
        "protocol": {
            "model": "TinyGPT, float64, 100 steps of AdamW",
            "parameters": sum(p.numel() for p in TinyGPT().parameters()),
            "seeds": list(seeds),
            "groups": number,
            "group_size": size,
            "group_lambda": GROUP_LAMBDA,
            "negatives_of_eq7": each,
            "solver": f"gradient descent, at most 60 steps, to {SETTLED:g} of the first gradient",
        },
        "runs": runs,
    }


def summarise(done: Sequence[dict[str, float]]) -> dict[str, float]:
    """Say of groups how many help, and what tells which."""
    change = [group["change"] for group in done]
    low = [group["low"] for group in done]
    middle = statistics.median(low)
    above = [c > 0 for c, share in zip(change, low, strict=True) if share > middle]
    below = [c > 0 for c, share in zip(change, low, strict=True) if share <= middle]
    return {
        "helpful": sum(c > 0 for c in change) / len(change),
        "helpful_above": sum(above) / max(1, len(above)),
        "helpful_below": sum(below) / max(1, len(below)),
        "spearman_low": spearman(low, change),
        "spearman_reward": spearman([-group["reward"] for group in done], change),
        "spearman_eq7": spearman([group["predicted"] for group in done], change),
        "solved": sum(bool(group["solved"]) for group in done) / len(done),
    }


def _over(values: Sequence[float], decimals: int = 2) -> str:
    """Print mean and standard deviation over seeds.

    >>> _over([0.5, 1.0])
    '0.75 ± 0.35'
    """
    spread = f" ± {statistics.stdev(values):.{decimals}f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.{decimals}f}{spread}"


def table(results: dict[str, Any]) -> str:
    """Return the results as two tables in Markdown."""
    protocol = results["protocol"]
    columns = {
        "helpful": "J grows",
        "helpful_above": "J grows, low share above its median",
        "helpful_below": "J grows, at or below it",
        "spearman_low": "rank correlation with low share",
        "spearman_reward": "with minus the reward",
        "spearman_eq7": "with eq. 7",
        "solved": "solved",
    }
    lines = [
        f"**{protocol['groups']} groups of {protocol['group_size']} negatives, lambda {protocol['group_lambda']:g}** "
        f"(seeds {', '.join(map(str, protocol['seeds']))}; low share: words rewarded below the mean)",
        "",
        "| world | " + " | ".join(columns.values()) + " |",
        "|:---|" + "---:|" * len(columns),
    ]
    for name, runs in results["runs"].items():
        cells = [_over([run["summary"][key] for run in runs]) for key in columns]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines += [
        "",
        f"**Eq. 7 against the true effect of {protocol['negatives_of_eq7']} negatives, one by one**",
        "",
        "| world | lambda | rank correlation | same sign | slope, true over predicted | solved |",
        "|:---|---:|---:|---:|---:|---:|",
    ]
    for name, runs in results["runs"].items():
        for lam in runs[0]["eq7"]:
            found = [run["eq7"][lam] for run in runs]
            cells = [_over([one[key] for one in found], 3) for key in ("spearman", "sign", "slope", "solved")]
            lines.append(f"| {name} | {lam} | " + " | ".join(cells) + " |")
    machine, made = results["hardware"], results["versions"]
    lines += [
        "",
        f"{protocol['model']}, {protocol['parameters']} parameters; J summed over all answers; {protocol['solver']}; "
        f"{machine['processor']}, {machine['cores']} cores; torch {made['torch']}; {results['date']}; "
        f"command: {results['command']}",
    ]
    return "\n".join(lines) + "\n"


def draw(results: dict[str, Any], stem: Path) -> None:
    """Draw change against low share for each world, all seeds, as paper 004's figure 2 does."""
    with figure_style():
        axes = file_grid(1, len(results["runs"]), 3.2)
        for one, (name, runs) in zip(axes, results["runs"].items(), strict=True):
            done = [group for run in runs for group in run["groups"]]
            one.scatter([group["low"] for group in done], [group["change"] for group in done], s=6, alpha=0.5)
            one.axhline(0.0, color="black", linewidth=0.8)
            one.set_xlabel("share of low-reward words")
            one.set_ylabel("change of J")
            one.set_title(name)
        save(axes[0], stem, ("png",))


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--groups", type=int, default=60)
    parser.add_argument("--size", type=int, default=32, help="negatives in a group")
    parser.add_argument("--each", type=int, default=6, help="negatives that are unlearned one by one")
    parser.add_argument("--out", type=Path, help="folder for results.json, summary.md and the figure")
    options = parser.parse_args()
    torch.set_num_threads(1)
    results = measure(options.seeds, options.groups, options.size, options.each)
    print(table(results))
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        atomic_write_json(options.out / "results.json", results)
        atomic_write_text(options.out / "summary.md", table(results))
        draw(results, options.out / "effects")


if __name__ == "__main__":
    main()
