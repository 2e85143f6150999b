"""MUSEEvaluator: MUSE's numbers, open-unlearning's variants and paper 001's three in one pass."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unlearnkit.artifacts import content_hash, plain
from unlearnkit.errors import ConfigurationError, DataError
from unlearnkit.evaluators import muse_prompts, muse_texts
from unlearnkit.evaluators.base import (
    FORMAT,
    Evaluation,
    Evaluator,
    describe_model,
    describe_run,
    require_comparable,
    require_same_model,
    tokenizer_hash,
    versions,
)
from unlearnkit.evaluators.muse_definitions import (
    DEFINITIONS,
    KNOWMEM_TOKENS,
    SETS,
    TEXTS,
    VERBMEM_TOKENS,
    higher_is_better,
)
from unlearnkit.evaluators.muse_prompts import Prompt, Prompter
from unlearnkit.evaluators.muse_summary import leaks, summarise
from unlearnkit.evaluators.muse_texts import ReadingModel
from unlearnkit.evaluators.ranks import gather, place, share
from unlearnkit.metrics.functional import RETRAINED_AREA


class MUSEEvaluator(Evaluator):
    """Evaluate a language model on MUSE (Shi et al. 2024), real or generated.

    Continuations of broken-off texts, answers to questions after examples, and the likelihood of whole texts that were
    learned, are kept, or were never seen. The definitions of all numbers are in the result; scalability and
    sustainability are made from several results (``muse_requests``).

    Args:
        rows: Rows of each set to evaluate, its first ones; None evaluates all.
        examples: How many examples go before each question; None takes all that the data set has, as MUSE does.
        space: Whether a prompt ends with the space that MUSE's code has after ``Answer:``. It suits SentencePiece
            (Llama-2, Mistral), and breaks words of byte-level tokenizers (Llama-3, GPT-2, Phi).
        batch_tokens: Most tokens of a batch when scoring; None takes 1024 on a processor, 16384 elsewhere.

    Raises:
        ConfigurationError: A number is out of its range.
    """

    def __init__(
        self,
        rows: int | None = None,
        examples: int | None = None,
        space: bool = False,
        batch_tokens: int | None = None,
    ) -> None:
        for name, value, least in (
            ("rows", rows, 1),
            ("examples", examples, 0),
            ("batch_tokens", batch_tokens, 1),
        ):
            if value is not None and value < least:
                raise ConfigurationError(f"`{name}` must be at least {least}. Found {value}. Leave it unset.")
        self.rows = rows
        self.examples = examples
        self.space = space
        self.batch_tokens = batch_tokens

    def evaluate(
        self, model: ReadingModel, datamodule: Any, reference: Evaluation | None = None
    ) -> Evaluation:
        """Return the evaluation as one JSON-able dictionary, the same on every rank.

        Args:
            model: Generates and scores (``CausalLM``); it may be in any mode and is left in it.
            datamodule: After ``setup``: ``evaluation_sets``, ``evaluation_texts``, ``examples``, ``tokenizer`` and
                ``split``.
            reference: Evaluation of the retrained model; privacy leakage needs it.

        Raises:
            DataError: A set is missing or empty, or a prompt leaves no room in the model's context.
            MismatchError: The reference belongs to another split, tokenizer or model, or to other rows.
        """
        prompts, texts = self._prompts(model, datamodule), self._texts(datamodule)
        rank, world = place(model)
        tokenizer = datamodule.tokenizer
        said = gather(
            muse_prompts.say(
                model, share([one for found in prompts.values() for one in found], rank, world), tokenizer
            ),
            world,
        )
        read = gather(
            muse_texts.read_texts(
                model,
                share([one for found in texts.values() for one in found], rank, world),
                tokenizer,
                self.batch_tokens or _fitting(model),
            ),
            world,
        )
        per_sample = {name: muse_prompts.columns(rows) for name, rows in _dealt(said, prompts).items()}
        per_sample |= {name: muse_texts.columns(rows) for name, rows in _dealt(read, texts).items()}
        evaluation: Evaluation = {
            "benchmark": "muse",
            "definitions": DEFINITIONS,
            "comparability": {
                "format": FORMAT,
                "split_hash": datamodule.split.hash,
                "tokenizer_hash": tokenizer_hash(tokenizer),
                "corpus": getattr(datamodule, "corpus", None),
                "generated": getattr(datamodule, "path", None) is None,
                "request": datamodule.split.name,
                "forget_documents": len(datamodule.split.forget),
                "max_new_tokens": {"verbmem": VERBMEM_TOKENS, "knowmem": KNOWMEM_TOKENS},
                "prompts_hash": content_hash(
                    {name: [list(p.ids) for p in found] for name, found in prompts.items()}
                ),
                "rows": "all" if self.rows is None else f"the first {self.rows} of each set",
                "n": {name: len(found) for name, found in (prompts | texts).items()},
                "cut_texts": sum(sum(per_sample[name]["cut"]) for name in TEXTS),
            },
            "model": describe_model(model),
            "run": describe_run(datamodule, world),
            "versions": versions(),
            "summary": summarise(per_sample),
            "per_sample": per_sample,
        }
        return self.with_reference(evaluation, reference)

    def with_reference(self, evaluation: Evaluation, reference: Evaluation | None) -> Evaluation:
        """Return the evaluation with privacy leakage, None where it cannot be had; nothing is run again."""
        if reference is not None:
            require_comparable(evaluation, reference, sets=(*SETS, *TEXTS))
            require_same_model(evaluation, reference)
        facts = evaluation["comparability"]
        area = None if facts["generated"] else RETRAINED_AREA.get(facts["corpus"])
        other = None if reference is None else reference["summary"]
        summary = {**evaluation["summary"], **leaks(evaluation["summary"], other, area)}
        added = {"summary": summary, "higher_is_better": {name: higher_is_better(name) for name in summary}}
        # What is in memory equals what a reader of the file gets: null where a number is not finite.
        result: Evaluation = plain(evaluation | added)
        return result

    def _prompts(self, model: ReadingModel, datamodule: Any) -> dict[str, list[Prompt]]:
        prompter = Prompter(datamodule.tokenizer, model.context_length, self.examples, self.space)
        found: dict[str, list[Prompt]] = {}
        for name in SETS:
            rows = _required(datamodule.evaluation_sets, name)[: self.rows]
            if name == "verbmem":
                found[name] = [prompter.continuation(row) for row in rows]
            else:
                found[name] = [prompter.question(row, datamodule.examples[name]) for row in rows]
        return found

    def _texts(self, datamodule: Any) -> dict[str, list[tuple[int, str]]]:
        return {
            name: list(enumerate(_required(datamodule.evaluation_texts, name)[: self.rows])) for name in TEXTS
        }


def _required(sets: Mapping[str, Any], name: str) -> Any:
    if not sets.get(name):
        raise DataError(
            f"`evaluation_sets` must hold rows of {name!r}. Found {'none' if name in sets else 'no such set'}; there "
            f"are {', '.join(sets) or 'no sets'}. Use the data module MUSE, or add the rows."
        )
    return sets[name]


def _dealt(rows: list[Any], sizes: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
    """Return the rows of each set, which follow each other in one list."""
    found, start = {}, 0
    for name, members in sizes.items():
        found[name] = rows[start : start + len(members)]
        start += len(members)
    return found


def _fitting(model: ReadingModel) -> int:
    """Return the tokens of a batch that suit a processor's caches, or keep an accelerator busy."""
    return 1024 if next(model.parameters()).device.type == "cpu" else 16384
