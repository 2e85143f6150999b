"""One packaged method of each kind, for tests that take a second for each method they are given."""

from __future__ import annotations

import yaml

from unlearnkit import strategies
from unlearnkit.packaged import CONFIGS, method_names

TINY_DATA = {
    "tofu": [
        "--data.authors=10",
        "--data.questions=2",
        "--data.vocab_size=300",
        "--model.model.hidden_size=16",
        "--model.model.layers=1",
        "--model.model.heads=2",
    ],
    "muse": [
        "--data.articles=10",
        "--data.vocab_size=300",
        "--model.model.hidden_size=16",
        "--model.model.layers=1",
        "--model.model.heads=2",
        "--model.model.max_length=512",
    ],
    "preferences": [
        "--data.pairs=60",
        "--data.prompts=30",
        "--data.vocab_size=300",
        "--data.max_length=128",
        "--model.model.hidden_size=16",
        "--model.model.layers=1",
        "--model.model.heads=2",
    ],
    "digits": ["--data.per_class=20", "--data.forget_batch_size=4", "--data.retain_batch_size=4"],
    "ddpm": [
        "--data.per_class=8",
        "--data.forget_batch_size=4",
        "--data.retain_batch_size=4",
        "--model.model.width=4",
    ],
    "dit": [
        "--data.per_class=8",
        "--data.forget_batch_size=4",
        "--data.retain_batch_size=4",
        "--model.model.width=16",
        "--model.model.layers=1",
    ],
}
"""Options that make a benchmark's data and model tiny."""


TINY_SA = [
    "--model.retain.per_class=1",
    "--model.retain.fisher_samples=1",
    "--model.retain.fisher_steps=2",
    "--model.retain.steps=2",
]
"""Options that make its samples few."""

TINY_U2A = ["--model.strategy.selector.initial=4", "--model.strategy.alignment.length=4"]
"""Options that make its selection tiny as well."""


def tiny_data(name: str) -> list[str]:
    """Return the options for a packaged file, e.g. ``tofu/ngdiff.yaml``."""
    benchmark, _, stem = name.partition("/")
    own = TINY_SA if stem == "sa" else TINY_U2A if stem.startswith("u2a") else []
    return [*TINY_DATA[benchmark], *own]


def kind_of(name: str) -> tuple[str, ...]:
    """Return what sets a method apart from others in how it is parsed, run and saved, its weights aside.

    That is its objectives, optimizer and callbacks, and its strategy's base; for a strategy with buffers or
    arguments of its own the strategy itself.
    """
    content = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text("utf-8"))
    chosen, callbacks = content["model"]["init_args"], content["trainer"]["callbacks"]
    strategy = getattr(strategies, chosen["strategy"]["class_path"])
    apart = len(chosen["strategy"].get("init_args", {})) > 1 or list(strategy().buffers())
    return (
        strategy.__name__ if apart else strategy.kind,
        *(chosen.get(part, {}).get("class_path", "") for part in ("forget", "retain", "optimizer")),
        *(callback["class_path"] for callback in callbacks),
    )


METHODS = [f"{name}.yaml" for name in method_names()]
"""All packaged methods, e.g. ``tofu/ngdiff.yaml``."""

REPRESENTATIVES = sorted(
    {
        kind_of(name): f"{name}.yaml"
        # Generation last: a run of it takes longer than one of any other modality.
        for name in sorted(method_names(), key=lambda name: name.startswith(("ddpm", "dit")))[::-1]
        if name.partition("/")[0] in TINY_DATA
    }.values()
)
"""The first method of each kind whose data any machine has."""
