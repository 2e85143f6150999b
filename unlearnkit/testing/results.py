"""A made-up results dict in the form that ``compare`` writes: what plots, tables and reports are tried on."""

from __future__ import annotations

import math
import random
from typing import Any

_METHODS = (  # name, label, speed of forgetting, utility lost, share of the loss that comes back
    ("gd", "GD", 0.02, 0.00, 0.0),
    ("ga", "GA", 3.0, 0.97, 0.0),
    ("gdiff_01", "GDiff 0.1", 2.5, 0.85, 0.1),
    ("gdiff_05", "GDiff 0.5", 2.0, 0.50, 0.7),
    ("gdiff_09", "GDiff 0.9", 0.5, 0.05, 0.3),
    ("npo", "NPO", 2.2, 0.92, 0.0),
    ("loss_norm", "LossNorm", 0.35, 0.02, 0.0),
    ("ngdiff_gen", "NGDiff + GeN", 1.2, 0.10, 0.4),
)


def made_up_results(methods: int = 8, seeds: int = 1, rounds: int = 60) -> dict[str, Any]:
    """Return invented results: no run stands behind any number.

    Args:
        methods: How many methods, up to 8.
        seeds: How many seeds each of them has.
        rounds: Length of every path; each has a point every 10 rounds.

    >>> [row["role"] for row in made_up_results(methods=1)["rows"]]
    ['target', 'retrained', 'method']
    """
    rows: list[dict[str, Any]] = []
    for seed in range(seeds):
        noise = random.Random(seed)
        rows.append(_row("target", "target", "target", seed, 0.99, 0.98, noise) | {"seconds": 21.4})
        rows.append(_row("retrained", "retrained", "retrained", seed, 0.42, 0.97, noise) | {"seconds": 12.7})
        for name, label, speed, lost, back in _METHODS[:methods]:
            speed *= noise.uniform(0.8, 1.25)
            lost *= noise.uniform(0.85, 1.0)
            path = []
            for done in range(10, rounds + 1, 10):
                forget = 0.99 * math.exp(-speed * done / 30)
                sunk = lost * (1 - math.exp(-speed * done / 12))
                utility = 0.98 * (1 - sunk * (1 - back * (done / rounds) ** 2))
                path.append(
                    {
                        "round": done,
                        "forget_rouge": forget,
                        "retain_rouge": utility,
                        "forget_fact": forget**3,
                        "retain_fact": utility**2,
                        "forget_loss": -math.log(max(forget, 1e-9)),
                        "retain_loss": -math.log(utility),
                        "model_utility": utility,
                    }
                )
            end = path[-1]
            row = _row("method", name, label, seed, end["forget_rouge"], end["model_utility"], noise)
            rows.append(row | {"seconds": 7.5 + noise.random(), "rounds": rounds, "path": path})
    return {
        "format": 1,
        "command": "unlearnkit compare --config tofu/quickstart.yaml",
        "date": "2025-01-31T12:00:00+00:00",
        "hardware": {"cpu": "made-up CPU", "cores": 2},
        "versions": {"unlearnkit": "0.0.0"},
        "protocol": {
            "model": "Llama form, 2 layers of 128",
            "parameters": 523_520,
            "from_scratch": True,
            "data": "made up",
            "n": {"forget": 40, "retain": 360},
            "seeds": list(range(seeds)),
        },
        "rows": rows,
    }


def _row(
    role: str, name: str, label: str, seed: int, forget: float, keep: float, noise: random.Random
) -> dict[str, Any]:
    """Return one row with an invented summary."""
    quality = max(1e-19, math.exp(-40 * abs(forget - 0.42) * noise.uniform(0.9, 1.1)))
    if role == "retrained":
        quality = 1.0
    summary = {
        "forget_rouge": forget,
        "retain_rouge": keep,
        "forget_fact": forget**3,
        "retain_fact": keep**2,
        "forget_probability": forget**2,
        "retain_probability": keep**1.5,
        "forget_truth_ratio": 0.5 + 0.3 * (1 - forget),
        "retain_truth_ratio": 0.55 * keep,
        "model_utility": keep,
        "forget_quality": quality,
        "forget_quality_log10": math.log10(quality),
    }
    return {"method": name, "label": label, "seed": seed, "role": role, "summary": summary}
