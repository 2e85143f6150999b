"""One packaged method of each kind, for tests that take a second for each method they are given."""

from __future__ import annotations

import yaml

from unlearnkit import strategies
from unlearnkit.packaged import CONFIGS, method_names


def kind_of(name: str) -> tuple[str, ...]:
    """Return what sets a method apart from others in how it is parsed, run and saved, its weights aside.

    That is its objectives, optimizer and callbacks, and its strategy's base; for a strategy with buffers or
    arguments of its own the strategy itself.
    """
    content = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text("utf-8"))
    chosen, callbacks = content["model"]["init_args"], content["trainer"]["callbacks"]
    strategy = getattr(strategies, chosen["strategy"]["class_path"])
    apart = list(strategy().buffers()) or len(chosen["strategy"].get("init_args", {})) > 1
    return (
        strategy.__name__ if apart else strategy.kind,
        *(chosen[part]["class_path"] for part in ("forget", "retain", "optimizer")),
        *(callback["class_path"] for callback in callbacks),
    )


METHODS = [f"{name}.yaml" for name in method_names()]
"""All packaged methods, e.g. ``tofu/ngdiff.yaml``."""

REPRESENTATIVES = sorted({kind_of(name): f"{name}.yaml" for name in reversed(method_names())}.values())
"""The first method of each kind."""
