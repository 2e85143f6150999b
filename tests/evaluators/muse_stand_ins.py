"""A small model that knows some fictitious news, and MUSE's evaluation of it written naively, one row at a time."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch
from rouge_score.rouge_scorer import RougeScorer
from sklearn.metrics import auc, roc_curve

from unlearnkit.datamodules import MUSE
from unlearnkit.models import CausalLM


@cache
def news() -> MUSE:
    data = MUSE(
        articles=30, questions=2, vocab_size=500, cut="documents", max_length=256, train_on="full", seed=3
    )
    data.setup()
    return data


@cache
def reader(forget: bool = True) -> CausalLM:
    """Return a model trained on the forget texts and some that are kept, or on the latter alone."""
    data = news()
    model = CausalLM(hidden_size=48, layers=1, heads=4, max_length=384)
    model.materialize(data.tokenizer)
    kept = [block for block in data.samples("train")[-24:] if len(block.ids) < 60]
    batch = data.collate(
        kept + (list(data.samples("forget")) if forget else list(data.samples("retain")[:3]))
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(45):
        optimizer.zero_grad()
        (model.losses(batch).sum() / model.counts(batch).sum()).backward()
        optimizer.step()
    return model


def diverged() -> CausalLM:
    model = CausalLM(hidden_size=16, layers=1, heads=2, max_length=384)
    model.materialize(news().tokenizer)
    with torch.no_grad():
        model.network.model.norm.weight.fill_(float("nan"))
    return model


def muses_own(model: CausalLM, data: MUSE) -> dict[str, Any]:
    """Transcribe MUSE's metrics: transformers' generate, rouge_score, scikit-learn, one row at a time."""
    network, tokenizer = model.network, data.tokenizer
    network.eval()
    scorer = RougeScorer(["rougeL"], use_stemmer=False)

    def ids_of(text: str) -> list[int]:
        return [tokenizer.bos_token_id, *tokenizer(text, add_special_tokens=False)["input_ids"]]

    def generate(prompt: str, tokens: int) -> str:
        ids = torch.tensor([ids_of(prompt)])
        with torch.no_grad():
            new = network.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                do_sample=False,
                max_new_tokens=tokens,
                pad_token_id=0,
                eos_token_id=tokenizer.eos_token_id,
            )[0, ids.shape[1] :]
        return str(tokenizer.decode(new, skip_special_tokens=True))

    verbmem = []
    for row in data.evaluation_sets["verbmem"]:
        truth = tokenizer.decode(ids_of(row.answer)[:128], skip_special_tokens=True)
        verbmem.append(scorer.score(truth, generate(row.question, 128))["rougeL"].fmeasure)
    knowmem: dict[str, list[float]] = {}
    for side in ("forget", "retain"):
        prefix = "".join(f"Question: {q}\nAnswer: {a}\n\n" for q, a in data.examples[f"{side}_knowmem"])
        knowmem[side] = []
        for row in data.evaluation_sets[f"{side}_knowmem"]:
            text = generate(f"{prefix}Question: {row.question}\nAnswer:", 32)
            for stop in ("\n\n", "\nQuestion", "Question:"):
                text = text.split(stop)[0]
            knowmem[side].append(scorer.score(row.answer, text)["rougeL"].fmeasure)

    def min_40(text: str) -> float:
        ids = torch.tensor([ids_of(text)])
        with torch.no_grad():
            logits = network(ids).logits[0, :-1].log_softmax(-1)
        probabilities = logits.gather(-1, ids[0, 1:, None])[:, 0].tolist()
        return -float(np.mean(np.sort(probabilities)[: int(0.4 * len(probabilities))]))

    scores, labels = [], []
    for label, part in enumerate(("forget", "holdout")):
        found = [min_40(text) for text in data.evaluation_texts[f"privleak_{part}"]]
        scores += [-score for score in found]
        labels += [label] * len(found)
    rates = roc_curve(labels, scores)
    network.train()
    return {
        "forget_verbmem": float(np.mean(verbmem)),
        "forget_knowmem": float(np.mean(knowmem["forget"])),
        "retain_knowmem": float(np.mean(knowmem["retain"])),
        "area": float(auc(rates[0], rates[1])),
    }
