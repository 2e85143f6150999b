"""Tiny random language models, and their losses token by token in plain Python."""

from __future__ import annotations

import math
from typing import Any

from tests.modules.tiny import tiny_lm, tokens
from unlearnkit.models import CausalLM


def random_lm(seed: int) -> CausalLM:
    """Return a Llama whose predictions are far from uniform."""
    model = tiny_lm(seed=seed)
    for weight in model.parameters():
        weight.data.mul_(8.0)
    return model.eval()


def random_batch() -> dict[str, Any]:
    """Return five questions, each with two answers."""
    return tokens(5, seed=11) | {"alternative": tokens(5, seed=12, length=8)}


def sequence_sums(model: CausalLM, batch: dict[str, Any]) -> list[float]:
    """Return each sequence's negative log-likelihood, summed over its answer."""
    output = model.network(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
    sums = []
    for logits, labels in zip(output.logits.tolist(), batch["labels"].tolist(), strict=True):
        total = 0.0
        for place, label in enumerate(labels):
            if label != -100:
                before = logits[place - 1]
                total += math.log(sum(math.exp(z) for z in before)) - before[label]
        sums.append(total)
    return sums


def lengths(batch: dict[str, Any]) -> list[int]:
    """Return the number of answer tokens of each sequence."""
    return [sum(label != -100 for label in row) for row in batch["labels"].tolist()]


def log_sigmoid(x: float) -> float:
    """Return ``log(1 / (1 + exp(-x)))``."""
    return -math.log1p(math.exp(-x))
