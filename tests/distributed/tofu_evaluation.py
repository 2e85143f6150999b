"""A TOFU evaluation with everything switched on, in one process and on each rank of two."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch.distributed.device_mesh import init_device_mesh

from unlearnkit.datamodules import TOFU
from unlearnkit.errors import ConfigurationError
from unlearnkit.evaluators import TOFUEvaluator
from unlearnkit.models import CausalLM
from unlearnkit.modules.sharded import shard

WHOLE = ["loss", "zlib", "reference", "min_k", "min_k++"]


def run(host: str | None) -> dict[str, Any]:
    """Evaluate a model that was never trained; ``fsdp2`` shards it, ``ddp`` leaves it whole on each rank."""
    warnings.simplefilter("ignore")
    if host is not None and not torch.distributed.is_initialized():
        torch.distributed.init_process_group("gloo")
    # One author to forget, one held out: three rows each, so that ranks have unequal shares.
    data = TOFU(authors=8, questions=3, evaluation_rows=3, vocab_size=300, max_length=128, holdout_authors=1)
    data.setup()
    model = CausalLM(hidden_size=16, layers=1, heads=2, max_length=128)
    model.materialize(data.tokenizer)
    if host == "fsdp2":
        shard(model, init_device_mesh("cpu", (2,)))
    evaluator = TOFUEvaluator(max_new_tokens=6, rows=3, closer_look=True, attacks=WHOLE)  # type: ignore[arg-type]
    found = evaluator.evaluate(model, data)
    found = evaluator.with_reference(found, found)
    try:
        TOFUEvaluator(sets=["forget"], max_new_tokens=1, attacks=["gradnorm"]).evaluate(model, data)
        refused = ""
    except ConfigurationError as error:
        refused = str(error)
    return {"summary": found["summary"], "attacks": found["attacks"], "refused": refused}
