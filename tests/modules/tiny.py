"""A tiny language model, its data and quiet trainers, for the tests of modules."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import Trainer

from unlearnkit.batches import IGNORE
from unlearnkit.models import CausalLM

VOCABULARY = 23


class Tokens:
    """What a tokenizer must offer for a model to be built."""

    pad_token_id, bos_token_id, eos_token_id = 0, 1, 2

    def __init__(self, size: int) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size


def tiny_lm(dropout: float = 0.0, vocabulary: int = VOCABULARY, **sizes: Any) -> CausalLM:
    """Return a Llama of about three thousand parameters; dropout sits on its attention."""
    model = CausalLM(**({"hidden_size": 16, "layers": 1, "heads": 2, "max_length": 32} | sizes))
    model.materialize(Tokens(vocabulary))
    model.network.config.attention_dropout = dropout
    for module in model.modules():
        if hasattr(module, "attention_dropout"):
            module.attention_dropout = dropout
    return model


def tokens(size: int, seed: int, length: int = 9) -> dict[str, torch.Tensor]:
    """Return a seeded batch: a prompt of 3 tokens, answers of unequal length, padding on the right."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(3, VOCABULARY, (size, length), generator=generator)
    ends = torch.randint(5, length + 1, (size,), generator=generator)
    places = torch.arange(length).expand(size, length)
    mask = (places < ends[:, None]).long()
    labels = torch.where((places >= 3) & (mask == 1), ids, IGNORE)
    return {"input_ids": ids * mask, "attention_mask": mask, "labels": labels, "index": torch.arange(size)}


def pairs(rounds: int, first: int = 0) -> list[dict[str, Any]]:
    """Return one pair of batches of unequal sizes for each round, a function of its number."""
    return [
        {"forget": tokens(3, 2 * (first + r)), "retain": tokens(4, 2 * (first + r) + 1)}
        for r in range(rounds)
    ]


def quiet(**changes: Any) -> Trainer:
    """Return a trainer on one CPU process that writes and prints nothing unless told to."""
    settings = {
        "accelerator": "cpu",
        "devices": 1,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "max_epochs": 1,
    }
    return Trainer(**(settings | changes))


def loader(batches: list[Any]) -> torch.utils.data.DataLoader:
    """Return a loader that gives the batches in order."""
    return torch.utils.data.DataLoader(batches, batch_size=None)


def flat(model: torch.nn.Module) -> torch.Tensor:
    """Return a copy of all parameters, [n]."""
    return torch.cat([p.detach().flatten() for p in model.parameters()])
