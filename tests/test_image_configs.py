"""The packaged methods of CIFAR-10 and TinyImageNet against the published code's numbers and loops."""

from __future__ import annotations

import math
from typing import Any

import pytest
import yaml

from unlearnkit.packaged import CONFIGS

ROWS = {"cifar10": 50_000, "tiny_imagenet": 100_000}
"""Training images, a tenth of which is forgotten by default."""

SGD = {"momentum": 0.9, "weight_decay": 5.0e-4}
ADAMW = {"weight_decay": 0.05}

SFRON_CODE: list[tuple[str, str, dict[str, float], int]] = [
    ("cifar10", "ft", SGD | {"lr": 0.01}, 10),
    ("cifar10", "ga", SGD | {"lr": 1.0e-4}, 9),
    ("cifar10", "rl", SGD | {"lr": 0.003}, 10),
    ("cifar10", "salun", SGD | {"lr": 0.007}, 10),
    ("cifar10", "scrub", SGD | {"lr": 8.0e-5}, 6),
    ("tiny_imagenet", "ft", ADAMW | {"lr": 1.0e-4}, 1),
    ("tiny_imagenet", "ga", ADAMW | {"lr": 1.0e-6}, 9),
    ("tiny_imagenet", "rl", ADAMW | {"lr": 1.0e-4}, 1),
    ("tiny_imagenet", "salun", ADAMW | {"lr": 1.0e-4}, 1),
    ("tiny_imagenet", "scrub", ADAMW | {"lr": 1.0e-4}, 1),
]
"""Data, method, optimizer, epochs."""


def read(data: str, method: str) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Return a packaged file's arguments of the module and of the data, and its trainer section."""
    found = yaml.safe_load((CONFIGS / data / f"{method}.yaml").read_text())
    return found["model"]["init_args"], found["data"]["init_args"], found["trainer"]


def passes(data: str, own: dict[str, Any]) -> tuple[int, int]:
    """Return the rounds of a pass over each side."""
    forget = ROWS[data] // 10
    return math.ceil(forget / own["forget_batch_size"]), math.ceil(
        (ROWS[data] - forget) / own["retain_batch_size"]
    )


@pytest.mark.parametrize(("data", "method", "optimizer", "epochs"), SFRON_CODE)
def test_rates_and_epochs_are_those_of_sfrons_code(
    data: str, method: str, optimizer: dict[str, float], epochs: int
) -> None:
    module, own, trainer = read(data, method)
    assert module["optimizer"]["init_args"] == optimizer
    forget, retain = passes(data, own)
    together = math.ceil(ROWS[data] / (own["forget_batch_size"] + own["retain_batch_size"]))
    rounds = {
        "ft": epochs * retain,
        "ga": epochs * forget,
        "rl": epochs * together,
        "salun": epochs * together,
        "scrub": min(epochs, 2) * forget + epochs * retain,
    }
    assert trainer["max_steps"] == rounds[method]


@pytest.mark.parametrize("method", ["ft", "rl", "salun"])
def test_a_cosine_by_epochs_is_there_where_there_is_more_than_one(method: str) -> None:
    module, _, trainer = read("cifar10", method)
    assert module["scheduler"]["init_args"] == {"T_max": trainer["max_steps"]}
    assert "scheduler" not in read("tiny_imagenet", method)[0]


@pytest.mark.parametrize(
    ("data", "alpha", "power", "steps", "rounds", "optimizer"),
    [
        ("cifar10", 25.0, 0.5, 5, 300, SGD | {"lr": 0.01}),
        ("tiny_imagenet", 500.0, 0.6, 1, 500, ADAMW | {"lr": 2.0e-5}),
    ],
)
@pytest.mark.parametrize("end", ["", "_dual_optim", "_dual_optim_plus"])
def test_sfrons_loop(
    data: str, alpha: float, power: float, steps: int, rounds: int, optimizer: dict[str, float], end: str
) -> None:
    module, own, trainer = read(data, f"sfron{end}")
    assert {name: module["forget"]["init_args"][name] for name in ("alpha", "power")} == {
        "alpha": alpha,
        "power": power,
    }
    assert module["strategy"]["init_args"] == {
        "forget_steps": 1,
        "retain_steps": steps,
        "forget_clip": 7.0,
        "forget_fade": rounds,
    }
    assert (trainer["max_steps"], module["scheduler"]["init_args"]["T_max"]) == (rounds, rounds)
    sizes = [own[f"{part}_batch_size"] for part in ("forget", "retain", "train")]
    assert sizes == [128, 128 * steps, 128], "the Fisher information is of batches of 128, too"
    assert trainer["callbacks"][0]["init_args"] == {"score": "fisher_ratio", "gamma": 1.0, "hard": False}
    if not end:
        assert module["optimizer"]["init_args"] == optimizer


@pytest.mark.parametrize(("data", "epochs"), [("cifar10", 10), ("tiny_imagenet", 1)])
@pytest.mark.parametrize("method", ["rl", "scrub", "salun"])
@pytest.mark.parametrize("end", ["_alternate", "_dual_optim", "_dual_optim_plus"])
def test_dualoptims_loop(data: str, epochs: int, method: str, end: str) -> None:
    module, own, trainer = read(data, method + end)
    assert module["strategy"]["init_args"] == {"mode": "pass"}
    assert trainer["max_steps"] == epochs * sum(passes(data, own))
    if end == "_dual_optim":
        retain = module["optimizer"]["init_args"]["retain"]["init_args"]
        assert retain == (SGD | {"lr": 0.01} if data == "cifar10" else ADAMW | {"lr": 1.0e-4})
    if (data, method + end) == ("cifar10", "salun_dual_optim"):
        assert module["optimizer"]["init_args"]["forget"]["init_args"] == ADAMW | {"lr": 0.018}


@pytest.mark.parametrize("method", sorted(path.stem for path in (CONFIGS / "cifar10").glob("*.yaml")))
def test_cifar100_has_the_settings_of_cifar10(method: str) -> None:
    one, other = (
        yaml.safe_load((CONFIGS / data / f"{method}.yaml").read_text()) for data in ("cifar10", "cifar100")
    )
    one["data"]["init_args"]["source"] = "uoft-cs/cifar100"
    assert one == other
