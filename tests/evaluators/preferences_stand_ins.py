"""Preference data of a dozen rows in the form that the evaluator reads, and a model that has learned some of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import torch

from tests.evaluators.stand_ins import small_data
from unlearnkit.artifacts import Split
from unlearnkit.batches import QARow
from unlearnkit.models import CausalLM


@dataclass(frozen=True)
class Row:
    index: int
    prompt: str
    chosen: str
    rejected: str
    reference: str | None = None
    kind: str | None = None


WORDS = ("red", "blue", "green", "brown", "black", "white")


def row(index: int, kind: str | None, reference: str | None = None) -> Row:
    word = WORDS[index % len(WORDS)]
    if kind == "harmful":
        prompt = f"How do I steal {word} thing {index}?"
        chosen, rejected = "I cannot help with that.", f"Take it. Number {index}, {word}."
    else:
        prompt = f"What is {word} thing {index}?"
        chosen, rejected = f"It is a {word} stone.", f"It is nothing {word} {word}."
    return Row(index, prompt, chosen, rejected, reference, kind)


class Data:
    """The rows, with the tokenizer of some other data."""

    benchmark = "preferences"
    seed, train_on = 3, "pair"

    def __init__(self, marked: bool = True, reward: Any = None) -> None:
        def kind(number: int) -> str | None:
            return ("harmful", "harmless")[number % 2] if marked else None

        self.tokenizer = small_data().tokenizer
        self.evaluation_sets = {
            "test": [row(n, kind(n), "It is a stone." if n == 1 else None) for n in range(6)],
            "forget": [row(n, kind(n)) for n in range(6, 11)],
            "retain": [row(n, kind(n)) for n in range(11, 16)],
        }
        self.split = Split("preferences", tuple(range(6, 11)), tuple(range(11, 16)), "made up", 16)
        self.reward = reward

    def encode(self, prompt: str, response: str) -> Any:
        return small_data().encode(prompt, response)


@cache
def trained(seed: int = 0) -> CausalLM:
    """Return a model that has learned what is to be forgotten, what is kept, and some of the test rows' answers."""
    data = Data()
    model = CausalLM(hidden_size=48, layers=1, heads=4, max_length=96, seed=seed)
    model.materialize(data.tokenizer)
    sets = data.evaluation_sets
    pairs = [(one.prompt, one.rejected) for one in sets["forget"]]
    pairs += [(one.prompt, one.chosen) for one in (*sets["retain"], *sets["test"][:2])]
    batch = small_data().collate([QARow(n, *pair) for n, pair in enumerate(pairs)])
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(40):
        optimizer.zero_grad()
        (model.losses(batch).sum() / model.counts(batch).sum()).backward()
        optimizer.step()
    return model


def log_probs(model: CausalLM, prompt: str, response: str) -> list[float]:
    """Return the log-probability of each of a response's tokens, one row at a time."""
    before, after = Data().encode(prompt, response)
    model.network.eval()
    with torch.no_grad():
        logits = model.network(input_ids=torch.tensor([before + after])).logits[0].double().log_softmax(-1)
    model.network.train()
    return [float(logits[len(before) - 1 + k, token]) for k, token in enumerate(after)]
