"""compare: target + retrained reference + methods x seeds -> table, figure, report; resumes what is there."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import torch
from jsonargparse import ArgumentError
from rich.console import Console
from torch import nn

from unlearnkit.artifacts import FolderLock, atomic_write_json, atomic_write_text, content_hash, read_json
from unlearnkit.errors import ConfigurationError
from unlearnkit.evaluators.base import versions
from unlearnkit.packaged import resolve_configs
from unlearnkit.study.confusions import confusion_table
from unlearnkit.study.environment import hardware
from unlearnkit.study.gap_table import gap_table
from unlearnkit.study.matched import matched_table
from unlearnkit.study.method import Method, load_method
from unlearnkit.study.paired_gap import paired_table
from unlearnkit.study.progress import StudyProgress
from unlearnkit.study.protocol import protocol
from unlearnkit.study.quiet import quiet
from unlearnkit.study.report import write_figures, write_report
from unlearnkit.study.runs import EVALUATION_COST, finished, train, unlearn_with
from unlearnkit.study.settings import Setting, comparison_parser
from unlearnkit.study.table import print_tables, summary

ROLES = ("retrained", "target")
"""The runs that every comparison has, in the order they run."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``unlearnkit compare``."""
    given = list(sys.argv[2:] if arguments is None else arguments)
    results = _run(given, Console(stderr=True))
    print_tables(results, Console())
    return 0


def compare(config: str, **overrides: Any) -> dict[str, Any]:
    """Train a target and a reference, run methods on several seeds, evaluate, and return the results.

    What is already there in the folder is read and not run again.

    Args:
        config: A comparison's YAML, packaged (``tofu/quickstart.yaml``) or of one's own.
        overrides: The command line's options, dots written as two underscores,
            e.g. ``methods=["ngdiff"]``, ``seeds=[0, 1]``, ``data__path="..."``.

    Returns:
        The content of ``results.json``.

    Raises:
        ConfigurationError: An option is unknown or out of its range.
    """
    return called("compare", _run, config, overrides)


def called(
    command: str, run: Callable[[list[str], Console], dict[str, Any]], config: str, overrides: dict[str, Any]
) -> dict[str, Any]:
    """Run a command with its options as keywords.

    Raises:
        ConfigurationError: An option is unknown or out of its range.
    """
    given = [f"--config={config}"]
    given += [f"--{name.replace('__', '.')}={_as_argument(value)}" for name, value in overrides.items()]
    try:
        return run(given, Console(stderr=True))
    except ArgumentError as error:
        raise ConfigurationError(
            f"`overrides` must be options of `unlearnkit {command}`. Found: {error}. "
            f"`unlearnkit {command} --help` lists them."
        ) from error


def opened(command: str, given: list[str]) -> dict[str, Any]:
    """Return what results begin with: how, when and on what they were made."""
    return {
        "format": 1,
        "command": shlex.join(["unlearnkit", command, *given]),
        "date": date.today().isoformat(),
        "hardware": hardware(),
        "versions": versions(),
    }


def _as_argument(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(str(item) for item in value) + "]"
    return "null" if value is None else str(value)


def _run(given: list[str], console: Console) -> dict[str, Any]:
    parser = comparison_parser()
    setting = Setting(parser, parser.parse_args(resolve_configs(given)))
    methods = checked_methods(setting)
    splits = {seed: _split_hash(setting, seed) for seed in setting.config.seeds}
    _require_one_split(setting, splits)
    out = Path(setting.config.out or f"runs/{setting.config.name}-{setting.key[:8]}")
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(setting.config.threads)
    results: dict[str, Any] = opened("compare", given) | {"protocol": {}, "rows": []}
    with FolderLock(out), quiet(), StudyProgress(_work(setting, methods), console) as progress:
        for seed in setting.config.seeds:
            for row, is_new in _seed_rows(setting, methods, seed, splits[seed], out, progress):
                results["rows"].append(row)
                results |= meanings(_folder(out, setting.home(seed)) / "retrained")
                results["protocol"] = protocol(setting, methods, results["rows"])
                if is_new:
                    atomic_write_json(out / "results.json", results)
        progress.start("writing the report")
        atomic_write_json(out / "results.json", results)
        tables = [
            summary(results),
            *filter(None, [gap_table(results), paired_table(results), confusion_table(results)]),
            matched_table(results),
        ]
        atomic_write_text(out / "summary.md", "\n".join(table.markdown() for table in tables))
        write_figures(out, results)
        write_report(out, results)
    console.print(f"Results, figure and report: {out}", highlight=False, markup=False)
    return results


def checked_methods(setting: Setting) -> list[Method]:
    """Read the methods, and build each once: what is wrong with one shows before anything is trained.

    Raises:
        ConfigurationError: Two methods, or one and the target or reference, would share a folder.
    """
    methods = [
        load_method(name, setting.config.benchmark).with_rounds(setting.config.rounds)
        for name in setting.config.methods
    ]
    names = [method.name for method in methods]
    taken = sorted({name for name in names if names.count(name) > 1 or name in ROLES})
    if taken:
        raise ConfigurationError(
            f"`methods` must have different names, none of them {' or '.join(ROLES)}: each has a folder of its name. "
            f"Found more than one {', '.join(taken)}. Rename your YAML file."
        )
    for method in methods:
        method.build(nn.Identity())
        setting.own_options(method)
    return methods


def _split_hash(setting: Setting, seed: int) -> str:
    """Read the data of a seed: what is wrong with them, or cannot be evaluated, shows before any folder is made."""
    built = setting.build(seed, "pair", model=False)
    built.data.setup("fit")
    built.evaluator.require(built.data)
    split: str = built.data.split.hash
    return split


def _require_one_split(setting: Setting, splits: dict[int, str]) -> None:
    """Refuse one target for seeds that forget different data.

    Raises:
        ConfigurationError: The seeds' splits differ.
    """
    shared = setting.config.target_seed
    if shared is None:
        return
    if set(splits.values()) - {splits[shared] if shared in splits else _split_hash(setting, shared)}:
        raise ConfigurationError(
            f"`target_seed` may be given only where all seeds forget the same data. Found {shared} with data whose "
            "split depends on the seed. Leave target_seed unset: each seed then trains its own target."
        )


def meanings(reference: Path) -> dict[str, Any]:
    """Return what the numbers mean, which way is better and which benchmark it is, as the evaluator says it."""
    evaluation = read_json(reference / "evaluation.json")
    said = {name: evaluation[name] for name in ("definitions", "higher_is_better")}
    return said | {"evaluation": evaluation["benchmark"]}


def _work(setting: Setting, methods: list[Method]) -> float:
    """Estimate the work in rounds; a training epoch counts as ten of them."""
    training = 2 * (10.0 * setting.finetune.epochs + EVALUATION_COST)
    unlearning = sum(method.rounds + EVALUATION_COST for method in methods)
    return len(setting.config.seeds) * (training + unlearning)


def _seed_rows(
    setting: Setting, methods: list[Method], seed: int, split: str, out: Path, progress: StudyProgress
) -> Iterator[tuple[dict[str, Any], bool]]:
    """Yield each row of one seed, in the table's order, and whether it had to be run."""
    folder, at = _folder(out, seed), setting.home(seed)
    home = _folder(out, at)
    key = content_hash([setting.key, at])
    names = {
        "target": f"seed {at} · training the target",
        "retrained": f"seed {at} · retraining without the forget set",
    }
    tokenizer = str(home / "retrained" / "tokenizer")
    path: list[dict[str, Any]] = []
    for role in ROLES:
        row = finished(home / role, key, split)
        is_new = row is None
        if row is None:
            progress.start(names[role])
            first = role == "retrained"
            reference = None if first else _reference(home)
            row = train(
                setting, role, at, home / role, key, progress, reference, None if first else tokenizer
            )
        else:
            progress.start(f"seed {at} · {role}: found, not run again")
            progress.advance(10.0 * setting.finetune.epochs + EVALUATION_COST)
        path = row["path"]
        # A target that all seeds share stands in each seed's rows, so that seeds stay pairs.
        yield row | {"seed": seed}, is_new
    reference = _reference(home)
    for method in methods:
        # A seed says nothing new where it is the target's own.
        own = content_hash(
            [key, method.content, method.rounds, *([seed] * (at != seed)), *_listed(setting, method)]
        )
        row = finished(folder / method.name, own, split)
        is_new = row is None
        if row is None:
            progress.start(f"seed {seed} · {method.label}")
            row = unlearn_with(
                setting, method, seed, home / "target", folder / method.name, own, progress, reference
            )
        else:
            progress.start(f"seed {seed} · {method.label}: found, not run again")
            progress.advance(method.rounds + EVALUATION_COST)
        yield row | {"path": path + row["path"]}, is_new


def _folder(out: Path, seed: int) -> Path:
    return out / f"seed{seed}"


def _listed(setting: Setting, method: Method) -> list[Any]:
    """Return what data options of its own add to a method's key: nothing where it has none."""
    options = setting.data_options(method)
    return [options] if options else []


def _reference(folder: Path) -> dict[str, Any]:
    """Return the retrained model's evaluation, which every other run is compared with."""
    reference: dict[str, Any] = read_json(folder / "retrained" / "evaluation.json")
    return reference
