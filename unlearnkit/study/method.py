"""A method: one packaged YAML row of objectives, strategy, optimizer and callbacks, made ready to run."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ArgumentError, ArgumentParser
from lightning.pytorch import Callback
from torch import nn

# Short class names in YAML resolve to imported classes.
import unlearnkit.callbacks
import unlearnkit.optim  # noqa: F401
from unlearnkit import packaged
from unlearnkit.errors import ConfigurationError, DataNotFoundError, UnknownNameError, typed_error
from unlearnkit.modules import UnlearningModule

BATCH_SIZES = ("forget_batch_size", "retain_batch_size")
"""What a method's own batches are made of."""


@dataclass(frozen=True)
class Method:
    """What a method's YAML says.

    Attributes:
        name: Stem of the file, e.g. ``ngdiff_gen``.
        label: Name as in the papers, the first words of the file's first comment.
        model: The ``model`` section (class path and arguments of the UnlearningModule).
        callbacks: The ``trainer.callbacks`` section.
        rounds: ``trainer.max_steps``, or ``trainer.max_epochs`` times the rounds of an epoch where ``data`` says both.
        batch_sizes: ``forget_batch_size`` and ``retain_batch_size`` of the ``data`` section, where it has them.
        data: The ``data`` section; ``Setting.own_options`` says what a comparison takes of it.
    """

    name: str
    label: str
    model: dict[str, Any]
    callbacks: list[dict[str, Any]] = field(default_factory=list)
    rounds: int = 60
    batch_sizes: dict[str, int] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)

    @property
    def epoch_length(self) -> int | None:
        """Rounds of an epoch where the YAML gives their number: U2A starts each epoch from the target."""
        length = (self.data.get("init_args") or {}).get("epoch_length")
        return length if isinstance(length, int) else None

    @property
    def content(self) -> dict[str, Any]:
        """What decides the method's result; hashed to recognise finished work."""
        return {"model": self.model, "callbacks": self.callbacks}

    def with_learning_rate(self, lr: float) -> Method:
        """Return the method with another learning rate; of optimizers that have one for each side, the forget side's.

        That is what paper 002 searches: the retain side goes on as in pretraining.
        """
        arguments = dict(self.model["init_args"])
        optimizer = dict(arguments.get("optimizer") or {"class_path": "torch.optim.AdamW"})
        own = dict(optimizer.get("init_args", {}))
        if isinstance(own.get("forget"), dict):
            own["forget"] = {**own["forget"], "init_args": {**own["forget"].get("init_args", {}), "lr": lr}}
        else:
            own["forget_lr" if "forget_lr" in own else "lr"] = lr
        optimizer["init_args"] = own
        return replace(self, model={**self.model, "init_args": {**arguments, "optimizer": optimizer}})

    def with_rounds(self, rounds: int | None) -> Method:
        """Return the method over another number of rounds; None leaves it.

        What the YAML spans over its whole run ends with the run: ``T_max`` of a cosine and ``forget_fade`` where they
        are its number of rounds. Half of either would leave a rate or a forget loss that hardly fell. A method in
        epochs of a given length keeps their number: their length is changed, and a cosine's restarts (``T_0``) with it.

        >>> short = load_method("cifar10/sfron").with_rounds(60).model["init_args"]
        >>> short["scheduler"]["init_args"], short["strategy"]["init_args"]["forget_fade"]
        ({'T_max': 60}, 60)
        >>> load_method("preferences/u2a_ga").with_rounds(30).rounds  # 11 epochs
        330
        """
        length = self.epoch_length
        before = self.rounds if length is None else length
        if rounds is None or rounds == before:
            return self
        arguments = dict(self.model["init_args"])
        for section, name in (("scheduler", "T_max"), ("scheduler", "T_0"), ("strategy", "forget_fade")):
            own: Any = arguments.get(section)
            given = own.get("init_args", {}) if isinstance(own, dict) else {}
            if given.get(name) == before:
                arguments[section] = {**own, "init_args": {**given, name: rounds}}
        changed = replace(self, model={**self.model, "init_args": arguments})
        if length is None:
            return replace(changed, rounds=rounds)
        options = {**self.data["init_args"], "epoch_length": rounds}
        return replace(
            changed, rounds=self.rounds // length * rounds, data={**self.data, "init_args": options}
        )

    def build(self, model: nn.Module, seed: int = 0) -> tuple[UnlearningModule, list[Callback]]:
        """Instantiate the module around a model, and its callbacks.

        Args:
            model: The target, in place of the YAML's own.
            seed: Seed of everything random in training, also of what objectives and strategy draw unless the YAML
                names theirs.

        Raises:
            ConfigurationError: The YAML names something unknown or an argument breaks its rule.
        """
        parser = ArgumentParser(exit_on_error=False)
        parser.add_class_arguments(UnlearningModule, "module", skip={"model"}, instantiate=False)
        parser.add_argument("--callbacks", type=list[Callback], default=[])
        arguments = {name: value for name, value in self.model["init_args"].items() if name != "model"}
        try:
            # The parser replaces what it is given by its own objects: hand it a copy.
            given = copy.deepcopy({"module": {**arguments, "seed": seed}, "callbacks": self.callbacks})
            parsed = parser.parse_object(given)
            for name in ("forget", "retain", "strategy"):
                own = arguments.get(name)
                named = isinstance(own, dict) and "seed" in own.get("init_args", {})
                section = parsed.module.get(name)
                if section is not None and not named and "seed" in section.get("init_args", {}):
                    section.init_args.seed = seed
            built = parser.instantiate(parsed)
        except ArgumentError as error:
            raise ConfigurationError(
                f"`method` must be a YAML row that can be built. Found {self.name!r}: {error}. "
                "Compare it with `unlearnkit list configs` and the packaged files."
            ) from error
        except ValueError as error:
            # Of an argument that may be None, jsonargparse rewrites what the constructor raises.
            typed = typed_error(error)
            if typed is None:
                raise
            raise typed from None
        return UnlearningModule(model, **built.module.as_dict()), list(built.callbacks or [])


def method_names(benchmark: str = "tofu") -> list[str]:
    """Return the names of a benchmark's packaged methods (see ``packaged.method_names``)."""
    folders: dict[str, list[str]] = {}
    for name in packaged.method_names():
        folder, _, stem = name.rpartition("/")
        folders.setdefault(folder, []).append(stem)
    if benchmark not in folders:
        raise UnknownNameError.among("benchmark", benchmark, folders)
    return folders[benchmark]


def load_method(name: str, benchmark: str = "tofu") -> Method:
    """Read a method by packaged name (``ngdiff``, ``tofu/ngdiff``) or by the path of a YAML of one's own.

    A rate after ``@`` replaces the YAML's learning rate: ``ngdiff@1e-3``, so that a comparison can
    give every method the same search.

    Raises:
        UnknownNameError: There is no such packaged method; the message lists them.
        DataNotFoundError: A path is given and nothing is there.
        ConfigurationError: The file has no ``model`` section.

    >>> load_method("ngdiff").label
    'NGDiff'
    >>> load_method("ngdiff@1e-3").name
    'ngdiff@1e-3'
    """
    if "@" in name:
        base, _, rate = name.rpartition("@")
        method = load_method(base, benchmark).with_learning_rate(_rate(rate))
        return replace(method, name=f"{method.name}@{rate}", label=f"{method.label}, lr {rate}")
    is_file = name.endswith((".yaml", ".yml"))
    if is_file and Path(name).is_file():
        path = Path(name)
    elif is_file and not (packaged.CONFIGS / name).is_file():
        raise DataNotFoundError(
            f"`method` must be the path of a YAML that exists. Found {name!r}. "
            f"Packaged methods: {', '.join(method_names(benchmark))}."
        )
    else:
        stem = name.removesuffix(".yaml").removesuffix(".yml")
        benchmark, _, stem = stem.rpartition("/") if "/" in stem else (benchmark, "", stem)
        if stem not in method_names(benchmark):
            raise UnknownNameError.among("method", stem, method_names(benchmark))
        path = packaged.CONFIGS / benchmark / f"{stem}.yaml"
    text = path.read_text("utf-8")
    content = yaml.safe_load(text)
    if not isinstance(content, dict) or "model" not in content:
        raise ConfigurationError(
            f"`method` must be a YAML with a `model` section. Found {str(path)!r} without one. "
            "Start from a packaged file, e.g. tofu/ngdiff.yaml."
        )
    first = text.splitlines()[0] if text.startswith("#") else f"# {path.stem}:"
    trainer = content.get("trainer", {}) or {}
    data = content.get("data") or {}
    options = data.get("init_args") or {}
    return Method(
        name=path.stem,
        label=first.lstrip("# ").split(":")[0],
        model=content["model"],
        callbacks=list(trainer.get("callbacks") or []),
        rounds=_rounds(trainer, options.get("epoch_length")),
        batch_sizes={name: int(options[name]) for name in BATCH_SIZES if name in options},
        data=data,
    )


def _rounds(trainer: dict[str, Any], epoch_length: Any) -> int:
    """Return how many rounds a method makes: as many steps, or epochs of a given length."""
    if "max_steps" not in trainer and "max_epochs" in trainer and isinstance(epoch_length, int):
        return int(trainer["max_epochs"]) * epoch_length
    return int(trainer.get("max_steps", 60))


def _rate(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise ConfigurationError(
            f"`method` must have a learning rate after its @. Found {text!r}. Write e.g. ngdiff@1e-3."
        ) from error
