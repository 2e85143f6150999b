"""Tokens scored and generated per second, against the same work one row at a time in plain transformers.

    python benchmarks/evaluation.py --size tiny --rows 100

A Llama from scratch, token sequences with the lengths of TOFU's questions and answers (seven answers a question: the
true one, its paraphrase, five perturbed ones). Both ways do the same work in the same run, by turns, and their
results are compared before any number is printed: losses to 1e-4, generated tokens but for near ties. Prints medians
over the turns; --out writes them as JSON. On one thread scoring is bound by the arithmetic of the matrix products,
which batches do not reduce; generation is bound by the number of forwards.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from unlearnkit.artifacts import atomic_write_json
from unlearnkit.evaluators.base import versions
from unlearnkit.models.generation import greedy
from unlearnkit.models.scoring import score
from unlearnkit.study.environment import hardware

SIZES = {
    "tiny": {"vocab_size": 1500, "hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4},
    "small": {"vocab_size": 8000, "hidden_size": 512, "num_hidden_layers": 8, "num_attention_heads": 8},
}
CONTEXT = 256
NEW_TOKENS = 48
NO_EOS = -1  # no token ends an answer, so both ways generate just as much

Pair = tuple[list[int], list[int]]


def network(size: str) -> Any:
    torch.manual_seed(0)
    sizes = SIZES[size]
    return LlamaForCausalLM(
        LlamaConfig(
            **sizes,
            intermediate_size=4 * sizes["hidden_size"],
            max_position_embeddings=CONTEXT,
            tie_word_embeddings=True,
            eos_token_id=None,
            pad_token_id=None,
        )
    ).eval()


def questions(rows: int, vocabulary: int) -> tuple[list[list[int]], list[Pair]]:
    draw = random.Random(0)

    def tokens(mean: float, spread: float) -> list[int]:
        return [
            draw.randrange(3, vocabulary) for _ in range(min(96, max(4, round(draw.gauss(mean, spread)))))
        ]

    prompts = [tokens(18, 5) for _ in range(rows)]
    return prompts, [(prompt, tokens(38, 12)) for prompt in prompts for _ in range(7)]


def score_row_by_row(model: Any, pairs: list[Pair]) -> list[float]:
    losses = []
    with torch.no_grad():
        for prompt, answer in pairs:
            labels = torch.tensor([[-100] * len(prompt) + answer])
            mean = model(input_ids=torch.tensor([prompt + answer]), labels=labels, use_cache=False).loss
            losses.append(float(mean) * len(answer))
    return losses


def generate_row_by_row(model: Any, prompts: list[list[int]]) -> list[list[int]]:
    new = []
    for prompt in prompts:
        ids = torch.tensor([prompt])
        mask = torch.ones_like(ids)
        whole = model.generate(ids, attention_mask=mask, do_sample=False, max_new_tokens=NEW_TOKENS)
        new.append(whole[0, len(prompt) :].tolist())
    return new


def by_turns(ways: dict[str, Callable[[], Any]], repeats: int) -> tuple[dict[str, Any], dict[str, float]]:
    """Return the results and the median seconds of each way, after one run of each that is not counted."""
    results = {name: way() for name, way in ways.items()}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - started)
    return results, {name: statistics.median(values) for name, values in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=SIZES, default="tiny")
    parser.add_argument("--rows", type=int, default=60, help="questions")
    parser.add_argument("--repeats", type=int, default=3, help="turns of each way")
    parser.add_argument("--out", type=Path, help="write the results as JSON")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model = network(arguments.size)
    prompts, pairs = questions(arguments.rows, SIZES[arguments.size]["vocab_size"])
    generation = {"max_new_tokens": NEW_TOKENS, "eos_id": NO_EOS, "context_length": CONTEXT}

    losses, scoring = by_turns(
        {
            "unlearnkit": lambda: [found.nll for found in score(model, pairs, context_length=CONTEXT)],
            "row by row": lambda: score_row_by_row(model, pairs),
        },
        arguments.repeats,
    )
    torch.testing.assert_close(*map(torch.tensor, losses.values()), rtol=1e-4, atol=1e-3)
    tokens, generating = by_turns(
        {
            "unlearnkit": lambda: greedy(model, prompts, **generation),
            "row by row": lambda: generate_row_by_row(model, prompts),
        },
        arguments.repeats,
    )
    different = sum(a != b for a, b in zip(*tokens.values(), strict=True))
    # An untrained network has near ties; a batch may round one of them the other way.
    assert different <= 0.02 * len(prompts), f"{different} of {len(prompts)} generations differ"

    work = {"scored": sum(len(answer) for _, answer in pairs), "generated": NEW_TOKENS * len(prompts)}
    found: dict[str, Any] = {
        "format": 1,
        "command": "python benchmarks/evaluation.py --size " + arguments.size,
        "date": datetime.now(UTC).date().isoformat(),
        "hardware": hardware(),
        "versions": versions(),
        "size": arguments.size,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "rows": arguments.rows,
        "threads": 1,
        "generations_that_differ": different,
    }
    both = (scoring, generating)
    for name, seconds in zip(work, both, strict=True):
        rates = {way: work[name] / value for way, value in seconds.items()}
        ratio = rates["unlearnkit"] / rates["row by row"]
        found[name] = {"tokens": work[name], "tokens_per_second": rates, "ratio": ratio}
        print(
            f"{name:>9}: {rates['unlearnkit']:9.0f} tokens/s, row by row {rates['row by row']:9.0f} tokens/s, "
            f"ratio {ratio:.1f}"
        )
    found["both"] = {
        "ratio": sum(turns["row by row"] for turns in both) / sum(turns["unlearnkit"] for turns in both)
    }
    print(f"{'both':>9}: ratio {found['both']['ratio']:.1f} (goal 3)")
    if arguments.out is not None:
        atomic_write_json(arguments.out, found)


if __name__ == "__main__":
    main()
