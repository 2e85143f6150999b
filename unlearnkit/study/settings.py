"""What a comparison is made of: data, model, evaluator, methods, seeds; parsed and built per seed."""

from __future__ import annotations

import copy
import importlib
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any, Literal

from jsonargparse import ArgumentError, ArgumentParser, Namespace
from torch import nn
from torch.optim import SGD, AdamW, Optimizer

import unlearnkit.datamodules
import unlearnkit.evaluators
import unlearnkit.models  # noqa: F401  (short class names in YAML resolve to imported classes)
from unlearnkit.artifacts import content_hash
from unlearnkit.datamodules import ForgetRetainDataModule
from unlearnkit.errors import ConfigurationError, UnknownNameError
from unlearnkit.evaluators import Evaluator
from unlearnkit.study.method import Method


@dataclass(frozen=True)
class Finetune:
    """How the target and the retrained reference are trained.

    Args:
        epochs: Passes over the training data.
        optimizer: ``adamw`` (betas 0.9 and 0.99) or ``sgd`` (momentum 0.9), with which ResNets are trained.
        lr: Its peak learning rate.
        weight_decay: Its weight decay.
        warmup_steps: Steps of linear warm-up before the cosine decay to zero.
        clip: Largest gradient norm; None does not clip.
    """

    epochs: int = 22
    optimizer: Literal["adamw", "sgd"] = "adamw"
    lr: float = 3e-3
    weight_decay: float = 0.01
    warmup_steps: int = 20
    clip: float | None = 1.0

    def __post_init__(self) -> None:
        for name, value in (("epochs", self.epochs), ("lr", self.lr), ("clip", self.clip)):
            if value is not None and not value > 0:
                raise ConfigurationError(
                    f"`finetune.{name}` must be above 0. Found {value}. The default is {getattr(Finetune, name)}."
                )
        if self.optimizer not in ("adamw", "sgd"):
            raise UnknownNameError.among("finetune.optimizer", self.optimizer, ["adamw", "sgd"])
        if not self.weight_decay >= 0:
            raise ConfigurationError(
                f"`finetune.weight_decay` must be 0 or above. Found {self.weight_decay}. "
                f"The default is {Finetune.weight_decay}."
            )

    def build(self, parameters: Any) -> Optimizer:
        """Return the optimizer over the parameters."""
        if self.optimizer == "sgd":
            return SGD(parameters, lr=self.lr, momentum=0.9, weight_decay=self.weight_decay)
        return AdamW(parameters, lr=self.lr, betas=(0.9, 0.99), weight_decay=self.weight_decay, fused=True)


@dataclass(frozen=True)
class Path:
    """How often, and on how many rows, a method is evaluated along its way.

    Args:
        every: Rounds between two evaluations.
        rows: Rows of each set that are evaluated there; the last iterate is evaluated on all.
    """

    every: int = 10
    rows: int | None = 40

    def __post_init__(self) -> None:
        for name, value in (("every", self.every), ("rows", self.rows)):
            if value is not None and value < 1:
                raise ConfigurationError(
                    f"`path.{name}` must be at least 1. Found {value}. The default is {getattr(Path, name)}."
                )


def comparison_parser() -> ArgumentParser:
    """Return the parser of ``unlearnkit compare``."""
    parser = ArgumentParser(
        prog="unlearnkit compare",
        exit_on_error=False,
        description="Train a target and a retrained reference, run methods, evaluate, write table, figure, report.",
    )
    parser.add_argument("--config", action="config", help="YAML of a comparison, e.g. tofu/quickstart.yaml")
    parser.add_subclass_arguments(ForgetRetainDataModule, "data", required=True)
    parser.add_subclass_arguments(nn.Module, "model", required=True)
    parser.add_subclass_arguments(Evaluator, "evaluator", required=True)
    parser.add_class_arguments(Finetune, "finetune")
    parser.add_class_arguments(Path, "path")
    parser.add_argument("--benchmark", type=str, default="tofu", help="folder of the packaged method YAMLs")
    parser.add_argument("--methods", type=list[str], required=True, help="names or YAML paths of methods")
    parser.add_argument("--seeds", type=list[int], default=[0], help="seeds of weights, order and draws")
    parser.add_argument(
        "--target_seed",
        type=int | None,
        default=None,
        help="seed of one target and reference for all seeds; default: each seed has its own",
    )
    parser.add_argument(
        "--method_batches",
        type=bool,
        default=False,
        help="whether methods draw batches of the sizes in their YAML instead of the comparison's",
    )
    parser.add_argument(
        "--rounds",
        type=int | None,
        default=None,
        help="rounds (of an epoch where a method goes by epochs, as U2A); default: its own",
    )
    parser.add_argument("--out", type=str | None, default=None, help="folder; default: runs/<name>-<hash>")
    parser.add_argument("--name", type=str, default="compare", help="first part of the default folder")
    parser.add_argument("--accelerator", type=str, default="auto", help="Lightning accelerator")
    parser.add_argument("--threads", type=int, default=1, help="torch threads; 1 is fastest for small models")
    return parser


class Setting:
    """One parsed comparison, from which each run builds its own fresh objects.

    Args:
        parser: Made by ``comparison_parser``.
        config: What it parsed.
    """

    def __init__(self, parser: ArgumentParser, config: Namespace) -> None:
        self.parser = parser
        self.config = config
        for name in ("methods", "seeds"):
            if not config[name] or len(set(config[name])) != len(config[name]):
                raise ConfigurationError(
                    f"`{name}` must be a list of one or more different entries. Found {config[name]}. "
                    f"Use e.g. --{name}={'[ngdiff,gdiff]' if name == 'methods' else '[0,1,2]'}."
                )
        for name, example in (("rounds", 60), ("threads", 1)):
            if config[name] is not None and config[name] < 1:
                raise ConfigurationError(
                    f"`{name}` must be at least 1. Found {config[name]}. Use e.g. --{name}={example}."
                )
        # Built once here, so that a number out of its range shows before anything is trained.
        _ = self.finetune, self.path

    def section(self, name: str) -> dict[str, Any]:
        """Return a section as a plain dictionary (class path and arguments)."""
        found = self.config[name]
        return dict(found.as_dict() if isinstance(found, Namespace) else found)

    @property
    def from_scratch(self) -> bool:
        """Whether the model is built here and not loaded."""
        arguments = self.section("model")["init_args"]
        return arguments.get("name") is None and not arguments.get("pretrained")

    @property
    def key(self) -> str:
        """Hash of what target and reference depend on; methods and seeds can be added later."""
        return content_hash(
            {name: self.section(name) for name in ("data", "model", "evaluator", "finetune", "path")}
        )

    def home(self, seed: int) -> int:
        """Return the seed whose target and reference a seed's methods use."""
        shared = self.config.target_seed
        return seed if shared is None else int(shared)

    def batch_sizes(self, method: Method) -> dict[str, int]:
        """Return the batch sizes that a method brings itself, where the comparison leaves them to methods."""
        return method.batch_sizes if self.config.method_batches else {}

    def own_options(self, method: Method) -> dict[str, Any]:
        """Return the data options that a method brings itself: those that its data module leaves to methods.

        The rest of a method's ``data`` section says what the data are, which the comparison says for all.

        Raises:
            ConfigurationError: The method's data module has no such option, or the comparison's has not.
        """
        here = str(self.config.data.class_path)
        if not method.data.get("init_args"):
            return {}
        parser = ArgumentParser(exit_on_error=False)
        parser.add_subclass_arguments(ForgetRetainDataModule, "data", instantiate=False)
        try:
            parsed = parser.parse_object({"data": {"class_path": here} | copy.deepcopy(method.data)})
        except ArgumentError as error:
            raise ConfigurationError(
                f"`data` of the method must have options of its data module alone. Found in {method.name!r}: {error}. "
                "`unlearnkit fit --data.help NAME` lists them."
            ) from error
        module, _, name = str(parsed.data.class_path).rpartition(".")
        left: tuple[str, ...] = getattr(importlib.import_module(module), name).method_options
        own = {name: value for name, value in method.data["init_args"].items() if name in left}
        unknown = sorted(set(own) - set(vars(self.config.data.init_args)))
        if unknown:
            raise ConfigurationError(
                f"`data.{unknown[0]}` of the method must be an option of the comparison's data module. Found in "
                f"{method.name!r}, which is made for {method.data.get('class_path')}, where the comparison has {here}. "
                "Take it out of the method's YAML, or leave the method out."
            )
        return own

    def data_options(self, method: Method) -> dict[str, Any]:
        """Return what a method's run has in place of the comparison's data options: its own, and its batch sizes."""
        return self.batch_sizes(method) | self.own_options(method)

    def build(
        self,
        seed: int,
        train_on: str,
        tokenizer: str | None = None,
        model: bool = True,
        data_options: dict[str, Any] | None = None,
    ) -> Namespace:
        """Instantiate data, evaluator and, where asked for, the model for one run.

        Args:
            seed: Seed of the weights, of the order of the data and of every draw.
            train_on: ``full`` for the target, ``retain`` for the reference, ``pair`` to unlearn.
            tokenizer: Folder of the target's tokenizer, once it is there.
            model: Whether the model is built too (a method brings the target instead).
            data_options: Options of the data module in place of the comparison's.
        """
        config = self.config.clone()
        config.data.init_args.train_on = train_on
        config.data.init_args.seed = seed
        for name, value in (data_options or {}).items():
            config.data.init_args[name] = value
        if tokenizer is not None and "tokenizer" in config.data.init_args:
            config.data.init_args.tokenizer = tokenizer
        if config.data.init_args.get("knowledge", False) is None:
            # Left open it follows the tokenizer, and later runs take over the first one's.
            config.data.init_args.knowledge = self.from_scratch
        if not model:
            config.pop("model")
        elif "seed" in config.model.init_args:
            config.model.init_args.seed = seed
        built: Namespace = self.parser.instantiate(config)
        return built

    def target(self, folder: FilePath) -> nn.Module:
        """Load the target that a run of this comparison saved."""
        parser = ArgumentParser(exit_on_error=False)
        parser.add_subclass_arguments(nn.Module, "model", required=True)
        section = self.section("model")
        # A shape says what to draw, not what was saved.
        drawn = dict.fromkeys({"shape", "width"} & set(section["init_args"]))
        section["init_args"] = {**section["init_args"], **drawn, "name": str(folder)}
        model: nn.Module = parser.instantiate(parser.parse_object({"model": section})).model
        return model

    @property
    def finetune(self) -> Finetune:
        """How target and reference are trained."""
        return Finetune(**self.section("finetune"))

    @property
    def path(self) -> Path:
        """How methods are evaluated along their way."""
        return Path(**self.section("path"))
