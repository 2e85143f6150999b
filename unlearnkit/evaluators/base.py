"""What every evaluation carries: the model and the run behind it, and what makes it comparable."""

from __future__ import annotations

import platform
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Protocol

from torch import nn

from unlearnkit.artifacts import AnyPath, atomic_write_json, content_hash, read_json
from unlearnkit.errors import ArtifactError, MismatchError

FORMAT = 1
"""Version of the JSON; goes up when a field changes its meaning."""

PACKAGES = (
    "unlearnkit", "torch", "lightning", "transformers", "datasets", "tokenizers", "scikit-learn", "torchvision", "timm",
)  # fmt: skip
"""The packages that decide numbers."""

Evaluation = dict[str, Any]
"""JSON-able: benchmark, definitions, comparability, model, run, versions, summary, per_sample, higher_is_better."""


class Evaluator(ABC):
    """Evaluate any model on one benchmark; what ``test``, ``compare``, callbacks and notebooks call.

    Attributes:
        rows: Rows of each set to evaluate, its first ones; None evaluates all.
    """

    rows: int | None = None

    @abstractmethod
    def evaluate(self, model: Any, datamodule: Any, reference: Evaluation | None = None) -> Evaluation:
        """Return one JSON-able dictionary with a flat ``summary``.

        Args:
            model: The model, in any mode; it is left in it.
            datamodule: The data module after ``setup``.
            reference: Evaluation of the retrained model, for numbers that compare with it.
        """

    def require(self, datamodule: Any) -> None:  # noqa: B027  (most evaluators take any data of theirs)
        """Refuse data that ``evaluate`` would refuse, where that can be said before anything is trained.

        Args:
            datamodule: The data module after ``setup``.
        """

    def with_start(self, load: Callable[[], nn.Module]) -> Evaluator:
        """Return the evaluator that also says how far a model has moved, where it has such numbers.

        Args:
            load: Returns the model that a run starts at; it is not called where nothing is compared with it.
        """
        return self

    def with_reference(self, evaluation: Evaluation, reference: Evaluation | None) -> Evaluation:
        """Return the evaluation with the numbers that compare it with the retrained model's."""
        return evaluation


class Scored(Protocol):
    """What a model makes of one answer."""

    @property
    def nll(self) -> float:
        """Negative log-likelihood summed over the answer's tokens, nats."""
        ...

    @property
    def tokens(self) -> int:
        """Number of the answer's tokens, EOS included."""
        ...

    @property
    def matched(self) -> int:
        """How many of them are the most likely next token."""
        ...

    @property
    def hits(self) -> Sequence[bool]:
        """Which of them are."""
        ...

    @property
    def log_probs(self) -> Sequence[float]:
        """Log-probability of each of the answer's tokens, nats."""
        ...


class AnsweringModel(Protocol):
    """What an evaluator of questions and answers asks of a model; ``CausalLM`` has it."""

    @property
    def context_length(self) -> int:
        """Most tokens of a sequence."""
        ...

    def parameters(self) -> Iterator[nn.Parameter]:
        """Return the weights."""
        ...

    def score_ids(self, sequences: list[tuple[list[int], list[int]]], batch_tokens: int) -> Sequence[Scored]:
        """Score each answer given its prompt, in the order given."""
        ...

    def generate_ids(self, prompts: list[list[int]], max_new_tokens: int, eos_id: int) -> list[list[int]]:
        """Continue each prompt greedily, up to and without EOS, in the order given."""
        ...


def describe_model(model: Any) -> dict[str, Any]:
    """Return what an evaluation says of its model; an adapter's parameters count twice, in the whole and apart.

    Language models also have their context, in tokens.
    """
    parameters = list(model.parameters())
    named = getattr(model, "named_parameters", dict)
    return {
        "name": getattr(model, "origin", None) or getattr(model, "name", None) or "from scratch",
        "network": type(getattr(model, "network", model)).__name__,
        "parameters": sum(parameter.numel() for parameter in parameters),
        "adapter_parameters": sum(found.numel() for name, found in dict(named()).items() if ".lora_" in name),
        "dtype": str(parameters[0].dtype).removeprefix("torch."),
        "context_length": getattr(model, "context_length", None),
    }


def describe_run(datamodule: Any, world: int) -> dict[str, Any]:
    """Return seed, effective batch sizes, and the number of processes that evaluated."""
    return {
        "seed": getattr(datamodule, "seed", None),
        "train_on": getattr(datamodule, "train_on", None),
        "batch_sizes": dict(getattr(datamodule, "batch_sizes", {})),
        "world_size": world,
    }


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that decide numbers."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def tokenizer_hash(tokenizer: Any) -> str:
    """Return a hash of what decides tokens and prompts: vocabulary, EOS, chat template."""
    vocabulary = sorted(tokenizer.get_vocab().items())
    return content_hash([vocabulary, tokenizer.eos_token_id, getattr(tokenizer, "chat_template", None)])


def write(evaluation: Evaluation, path: AnyPath) -> None:
    """Write an evaluation as JSON, whole or not at all."""
    atomic_write_json(path, evaluation)


def read(path: AnyPath) -> Evaluation:
    """Read an evaluation.

    Raises:
        ArtifactError: The file is missing, half-written, no evaluation, or of another format.
    """
    found = read_json(path)
    if not isinstance(found, dict) or "comparability" not in found or "summary" not in found:
        raise ArtifactError(
            f"`{path}` must be an evaluation that `write` wrote. Found another content. Name the right file, "
            "or evaluate again."
        )
    if found["comparability"].get("format") != FORMAT:
        raise ArtifactError(
            f"`{path}` must be an evaluation of format {FORMAT}. Found format "
            f"{found['comparability'].get('format')!r}. Evaluate that model again with this version."
        )
    return found


def require_comparable(evaluation: Evaluation, reference: Evaluation, sets: Iterable[str] = ()) -> None:
    """Refuse a reference whose samples cannot be compared with this evaluation's, row by row.

    Args:
        evaluation: Of the model at hand.
        reference: Of the model that it is compared with, e.g. the retrained one.
        sets: Evaluation sets whose numbers of rows, and rows where both say which, must be the same.

    Raises:
        MismatchError: Another benchmark, format, split, tokenizer, protocol, number of rows or other rows.

    >>> facts = {"format": 1, "split_hash": "a", "tokenizer_hash": "t", "n": {"forget": 40}}
    >>> mine = {"benchmark": "tofu", "comparability": facts}
    >>> other = {"benchmark": "tofu", "comparability": facts | {"split_hash": "b"}}
    >>> require_comparable(mine, other)
    Traceback (most recent call last):
    ...
    unlearnkit.errors.MismatchError: `reference` must have the same split_hash as this evaluation, 'a'. Found 'b'. ...
    """
    if not isinstance(reference, dict) or "comparability" not in reference:
        raise MismatchError(
            "`reference` must be the evaluation of the retrained model. Found something else "
            f"({type(reference).__name__}). Pass what its evaluate returned, or read(path)."
        )
    remedy = (
        "Evaluate the retrained model on the same data, split and tokenizer, in the same way, and pass that."
    )
    mine, other = evaluation["comparability"], reference["comparability"]
    pairs = {"benchmark": (evaluation.get("benchmark"), reference.get("benchmark"))}
    pairs |= {key: (mine.get(key), other.get(key)) for key in ("format", "split_hash", "tokenizer_hash")}
    protocols = [facts.get("protocol") or {} for facts in (mine, other)]
    for key in sorted(protocols[0].keys() | protocols[1].keys()):
        pairs[f"protocol[{key!r}]"] = (protocols[0].get(key), protocols[1].get(key))
    for name in sets:
        for key in ("n", "n_truth_ratio"):
            pairs[f"{key}[{name!r}]"] = (mine.get(key, {}).get(name), other.get(key, {}).get(name))
    for key, (wanted, found) in pairs.items():
        if wanted != found:
            raise MismatchError(
                f"`reference` must have the same {key} as this evaluation, {wanted!r}. Found {found!r}. {remedy}"
            )
    for name in sets:
        mine_rows, other_rows = (_rows(found, name) for found in (evaluation, reference))
        known = mine_rows.keys() & other_rows.keys()
        if any(mine_rows[key] != other_rows[key] for key in known):
            raise MismatchError(
                f"`reference` must be evaluated on the same {name} rows, in their order. Found other rows. {remedy}"
            )


def require_same_model(evaluation: Evaluation, reference: Evaluation) -> None:
    """Refuse a reference of another network: what both say can then differ without any forgetting.

    Args:
        evaluation: Of the model at hand.
        reference: Of the retrained model; its adapter, or the other's, does not count.

    Raises:
        MismatchError: Another class of network, or another number of parameters.
    """
    mine, other = (_network(found["model"]) for found in (evaluation, reference))
    for key, wanted in mine.items():
        if other[key] != wanted:
            raise MismatchError(
                f"`reference` must be of a model with the same {key} as this one, {wanted!r}. Found {other[key]!r}. "
                "Retrain the same architecture without the forget set, evaluate that, and pass it."
            )


def _network(model: dict[str, Any]) -> dict[str, Any]:
    weights = model["parameters"] - model.get("adapter_parameters", 0)
    return {"network": model["network"], "number of parameters": weights}


def _rows(evaluation: Evaluation, name: str) -> dict[str, Any]:
    """Return what an evaluation says of a set's rows: a hash of their numbers, or the numbers."""
    found = {
        "hash": evaluation["comparability"].get("row_hashes", {}).get(name),
        "index": evaluation.get("per_sample", {}).get(name, {}).get("index"),
    }
    return {key: value for key, value in found.items() if value is not None}
