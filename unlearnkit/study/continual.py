"""continual: one request to forget after the other, each from the model that the one before left behind."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from jsonargparse import ArgumentParser
from rich.console import Console

from unlearnkit.artifacts import FolderLock, atomic_folder, atomic_write_json, atomic_write_text, content_hash
from unlearnkit.errors import ConfigurationError
from unlearnkit.evaluators import read
from unlearnkit.packaged import resolve_configs
from unlearnkit.study.comparison import called, checked_methods, meanings, opened
from unlearnkit.study.continual_tables import by_request, paths, tables
from unlearnkit.study.method import Method
from unlearnkit.study.progress import StudyProgress
from unlearnkit.study.protocol import protocol
from unlearnkit.study.quiet import quiet
from unlearnkit.study.runs import EVALUATION_COST, finished, train, unlearn_with
from unlearnkit.study.settings import Setting, comparison_parser
from unlearnkit.study.table import show

Row = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``unlearnkit continual``."""
    results = _run(list(sys.argv[2:] if arguments is None else arguments), Console(stderr=True))
    show(tables(results), Console())
    return 0


def continual(config: str, **overrides: Any) -> dict[str, Any]:
    """Unlearn a sequence of requests with each method, and evaluate after each of them.

    Request k starts from the model after request k-1 of the same method and seed. What later requests ask for is kept
    until they come. After each, everything asked for up to then is the forget set of the evaluation, beside the target
    and, unless ``reference=False``, beside a model retrained without all of it. Finished requests are not run again.

    Args:
        config: A comparison's YAML whose ``data`` have ``requests``, packaged (``tofu/continual.yaml``) or one's own.
        overrides: The command line's options, as for ``compare``; and ``reference``.

    Returns:
        The content of ``results.json``: ``rows`` as of a comparison, each with its ``request`` and with
        ``by_request``, the forget numbers of each request's own rows; ``paths`` over requests.

    Raises:
        ConfigurationError: An option is unknown or out of its range; or a request is empty, or asks for somebody who
            was asked for before.
    """
    return called("continual", _run, config, overrides)


def continual_parser() -> ArgumentParser:
    """Return the parser of ``unlearnkit continual``: that of ``compare``, and whether references are made."""
    parser = comparison_parser()
    parser.prog = "unlearnkit continual"
    parser.description = "Unlearn requests one after the other with each method; evaluate after each of them."
    parser.add_argument(
        "--reference", type=bool, default=True, help="retrain without all requests up to each"
    )
    return parser


def _run(given: list[str], console: Console) -> dict[str, Any]:
    parser = continual_parser()
    setting = Setting(parser, parser.parse_args(resolve_configs(given)))
    requests = setting.section("data")["init_args"].get("requests")
    if not requests:
        raise ConfigurationError(
            "`data` must have `requests`, which come one after the other. Found none. Start from --config "
            'tofu/continual.yaml, or use e.g. --data.requests=["4","3","1-2"].'
        )
    if setting.config.target_seed is not None:
        raise ConfigurationError(
            f"`target_seed` must be unset: requests change what is forgotten. Found {setting.config.target_seed}. "
            "Leave it out."
        )
    methods = checked_methods(setting)
    steps = {number: _at(setting, number) for number in range(1, len(requests) + 1)}
    # What is wrong with a request shows before any folder is made.
    asked = {
        (seed, number): _asked(step, seed) for seed in setting.config.seeds for number, step in steps.items()
    }
    out = Path(setting.config.out or f"runs/{setting.config.name}-{steps[1].key[:8]}")
    torch.set_num_threads(setting.config.threads)
    results = opened("continual", given) | {"requests": [str(request) for request in requests], "rows": []}
    with FolderLock(out), quiet(), StudyProgress(_work(setting, methods, len(requests)), console) as progress:
        for seed in setting.config.seeds:
            for row in _sequence(steps, asked, methods, seed, out / f"seed{seed}", progress):
                results["rows"].append(row)
                results["protocol"] = protocol(setting, methods, results["rows"])
                results["paths"] = paths(results["rows"])
                atomic_write_json(out / "results.json", results)
        results |= meanings(out / f"seed{seed}" / "request1" / "target")
        atomic_write_json(out / "results.json", results)
        text = "\n".join(table.markdown() for table in tables(results))
        atomic_write_text(out / "summary.md", text)
    console.print(f"Results: {out}", highlight=False, markup=False)
    return results


def _at(setting: Setting, request: int) -> Setting:
    """Return the same comparison at another request."""
    config = setting.config.clone()
    config.data.init_args.request = request
    return Setting(setting.parser, config)


def _asked(setting: Setting, seed: int) -> tuple[str, tuple[tuple[int, ...], ...]]:
    """Return the hash of a request's split, and the rows of each request up to it."""
    data: Any = setting.build(seed, "pair", model=False).data
    data.setup("fit")
    return data.split.hash, data.requested


def _work(setting: Setting, methods: list[Method], requests: int) -> float:
    """Estimate the work in rounds; a training epoch counts as ten of them."""
    training = 10.0 * setting.finetune.epochs + EVALUATION_COST
    unlearning = sum(method.rounds + EVALUATION_COST for method in methods)
    each = EVALUATION_COST + unlearning + (training if setting.config.reference else 0.0)
    return len(setting.config.seeds) * (training + requests * each)


def _sequence(
    steps: Mapping[int, Setting],
    asked: Mapping[tuple[int, int], tuple[str, tuple[tuple[int, ...], ...]]],
    methods: list[Method],
    seed: int,
    home: Path,
    progress: StudyProgress,
) -> Iterator[Row]:
    """Yield the rows of one seed: at each request the reference, the target, then each method."""
    target = home / "target"
    first = _found(target, content_hash([steps[1].key, seed]), asked[seed, 1][0], progress)
    if first is None:
        progress.start(f"seed {seed} · training the target")
        first = train(
            steps[1], "target", seed, target, content_hash([steps[1].key, seed]), progress, None, None
        )
    latest = {method.name: (target, first["key"]) for method in methods}
    for number, setting in steps.items():
        split, requested = asked[seed, number]
        folder, at = home / f"request{number}", f"seed {seed} · request {number}"
        facts = {"request": number, "seed": seed}
        key = content_hash([setting.key, seed, setting.config.reference])
        reference = None
        if setting.config.reference:
            row = _found(folder / "retrained", key, split, progress)
            if row is None:
                progress.start(f"{at} · retraining without all that was asked for")
                tokenizer = str(target / "tokenizer")
                row = train(setting, "retrained", seed, folder / "retrained", key, progress, None, tokenizer)
            reference = read(folder / "retrained" / "evaluation.json")
            yield row | facts | by_request(folder / "retrained", requested)
        row = _found(folder / "target", content_hash([key, first["key"]]), split, progress)
        if row is None:
            progress.start(f"{at} · evaluating the target")
            row = _evaluate_target(setting, seed, first, target, folder / "target", key, reference)
            progress.advance(EVALUATION_COST)
        yield row | facts | by_request(folder / "target", requested)
        for method in methods:
            rounds = method.rounds
            before, its_key = latest[method.name]
            # The key of the run before is in this one's: what is redone early is redone later as well.
            own = content_hash([key, its_key, method.content, rounds, setting.data_options(method)])
            place = folder / method.name
            row = _found(place, own, split, progress)
            if row is None:
                progress.start(f"{at} · {method.label}")
                row = unlearn_with(setting, method, seed, before, place, own, progress, reference, folder)
            latest[method.name] = (place, own)
            yield row | facts | by_request(place, requested)


def _found(folder: Path, key: str, split: str, progress: StudyProgress) -> Row | None:
    row = finished(folder, key, split)
    if row is not None:
        progress.start(f"{folder.parent.name}/{folder.name}: found, not run again")
        progress.advance(row["rounds"] + EVALUATION_COST)
    return row


def _evaluate_target(
    setting: Setting,
    seed: int,
    first: Row,
    target: Path,
    folder: Path,
    key: str,
    reference: dict[str, Any] | None,
) -> Row:
    """Evaluate the target on a request's rows, and write what was found without its model."""
    built = setting.build(seed, "pair", str(target / "tokenizer"), model=False)
    built.data.setup("fit")
    evaluation = built.evaluator.evaluate(setting.target(target / "model"), built.data, reference)
    row = {name: first[name] for name in ("method", "label", "role", "seconds", "rounds", "parameters")}
    row |= {"key": content_hash([key, first["key"]]), "path": []}
    row |= {"summary": evaluation["summary"], "n": evaluation["comparability"]["n"]}
    with atomic_folder(folder) as temporary:
        built.data.split.save(temporary / "split.json")
        atomic_write_json(temporary / "evaluation.json", evaluation)
        atomic_write_json(temporary / "results.json", row)
    return row
