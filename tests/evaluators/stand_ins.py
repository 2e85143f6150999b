"""A small trained model with its data, and the same evaluation written naively, one row at a time."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import torch

from unlearnkit.batches import QARow
from unlearnkit.datamodules import TOFU
from unlearnkit.models import CausalLM
from unlearnkit.models.scoring import Score


class Model(CausalLM):
    """A CausalLM that counts what it is asked for."""

    asked: dict[str, int]

    def score_ids(self, sequences: list[tuple[list[int], list[int]]], batch_tokens: int) -> list[Score]:
        self.asked = {"scored": len(sequences)}
        return super().score_ids(sequences, batch_tokens)

    def generate_ids(self, prompts: list[list[int]], max_new_tokens: int, eos_id: int) -> list[list[int]]:
        self.asked["generated"] = len(prompts)
        return super().generate_ids(prompts, max_new_tokens, eos_id)


@cache
def small_data() -> TOFU:
    data = TOFU(authors=20, questions=4, vocab_size=400, train_on="full", seed=3)
    data.setup()
    return data


@cache
def trained() -> Model:
    """Return a model that knows some rows by heart and others not (about two seconds)."""
    data = small_data()
    model = Model(hidden_size=48, layers=1, heads=4, max_length=96)
    model.materialize(data.tokenizer)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    batch = data.collate([row for rows in data.evaluation_sets.values() for row in rows[::2]])
    for _ in range(60):
        optimizer.zero_grad()
        (model.losses(batch).sum() / model.counts(batch).sum()).backward()
        optimizer.step()
    return model


def diverged() -> Model:
    model = Model(hidden_size=48, layers=1, heads=4, max_length=96)
    model.materialize(small_data().tokenizer)
    with torch.no_grad():
        model.network.model.norm.weight.fill_(float("nan"))
    return model


def naive(model: CausalLM, rows: Sequence[QARow], limit: int) -> list[dict[str, Any]]:
    """Score and generate one row at a time with nothing but the network and rouge-score."""
    from rouge_score.rouge_scorer import RougeScorer

    data, scorer = small_data(), RougeScorer(["rougeL"], use_stemmer=True)
    network, eos_id = model.network, int(data.tokenizer.eos_token_id)
    network.eval()

    def mean_nll(question: str, answer: str) -> float:
        prompt, ids = data.encode(question, answer)
        assert ids[-1] == eos_id
        logits = network(input_ids=torch.tensor([prompt + ids])).logits[0].double().log_softmax(-1)
        return -sum(float(logits[len(prompt) - 1 + k, token]) for k, token in enumerate(ids)) / len(ids)

    found = []
    with torch.no_grad():
        for row in rows:
            prompt = torch.tensor([data.encode(row.question, row.answer)[0]])
            new = network.generate(
                prompt,
                attention_mask=torch.ones_like(prompt),
                do_sample=False,
                max_new_tokens=limit,
                pad_token_id=0,
            )[0, prompt.shape[1] :]
            text = str(data.tokenizer.decode(new, skip_special_tokens=True)).strip()
            found.append(
                {
                    "index": row.index,
                    "generation": text,
                    "rouge": scorer.score(row.answer, text)["rougeL"].recall,
                    "tokens": len(data.encode(row.question, row.answer)[1]),
                    "mean_nll": mean_nll(row.question, row.answer),
                    "paraphrase_mean_nll": mean_nll(row.question, row.paraphrased_answer or row.answer),
                    "perturbed_mean_nll": [mean_nll(row.question, wrong) for wrong in row.perturbed_answers],
                }
            )
    network.train()
    return found
