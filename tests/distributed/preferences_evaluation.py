"""An evaluation of preferences with everything switched on, in one process and on each rank of two."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch.distributed.device_mesh import init_device_mesh

from unlearnkit.datamodules import Preferences
from unlearnkit.evaluators import PreferencesEvaluator
from unlearnkit.metrics.functional import Case, rule_verdict
from unlearnkit.models import CausalLM
from unlearnkit.modules.sharded import shard


def moody(case: Case) -> float:
    """Judge by rules, and break on one aspect."""
    if case.aspect == "answer":
        raise TimeoutError
    return rule_verdict(case)


def model_of(data: Preferences, seed: int) -> CausalLM:
    model = CausalLM(hidden_size=16, layers=1, heads=2, max_length=128, seed=seed)
    model.materialize(data.tokenizer)
    return model


def run(host: str | None) -> dict[str, Any]:
    """Evaluate a model that was never trained; ``fsdp2`` shards it, ``ddp`` leaves it whole on each rank."""
    warnings.simplefilter("ignore")
    if host is not None and not torch.distributed.is_initialized():
        torch.distributed.init_process_group("gloo")
    data = Preferences(pairs=90, prompts=30, vocab_size=300, max_length=96)
    data.setup()
    model, start = model_of(data, 0), model_of(data, 1)
    if host == "fsdp2":
        shard(model, init_device_mesh("cpu", (2,)))
    # Five rows of each set: ranks have unequal shares.
    evaluator = PreferencesEvaluator(judge=moody, retries=0, start=start, max_new_tokens=6, rows=5)
    found = evaluator.evaluate(model, data)
    return {"summary": found["summary"], "test": found["per_sample"]["test"], "errors": found["judge_errors"]}
