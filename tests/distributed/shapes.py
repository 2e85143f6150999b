"""A real round of each published architecture, narrowed, with an adapter, a chat template and TOFU's data."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import nn

from tests.distributed.contract import HOSTS, gathered
from tests.models.test_shapes import WIDTHS
from tests.modules.tiny import quiet
from unlearnkit.datamodules import TOFU
from unlearnkit.models import CausalLM, LoRA
from unlearnkit.modules import UnlearningModule
from unlearnkit.objectives import NLL, NPO
from unlearnkit.sharding import sharded_modules
from unlearnkit.strategies import NGDiff

NAMES = tuple(WIDTHS)


def rounds(name: str, tokenizer: str, **settings: Any) -> dict[str, Any]:
    """Make two rounds and return what they did."""
    warnings.simplefilter("ignore")
    data = TOFU(
        authors=10,
        questions=3,
        tokenizer=tokenizer,
        max_length=96,
        forget_batch_size=3,
        retain_batch_size=5,
        epoch_length=2,
    )
    data.setup()
    model = CausalLM(shape=name, width=WIDTHS[name], lora=LoRA(rank=2, alpha=4.0, dropout=0.0))
    model.materialize(data.tokenizer)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0  # the masks of two ranks are not those of one
    base = model.without_adapter()
    batch = data.collate(list(data.samples("forget"))[:2])
    before = base.losses(batch).detach()
    module = UnlearningModule(
        model,
        NPO(),
        NLL(),
        NGDiff(),
        lambda parameters: torch.optim.SGD(parameters, lr=0.5),
    )
    start = [p.detach().clone() for p in module.host.parameters] if not settings else None
    quiet(max_steps=2, max_epochs=-1, **settings).fit(module, data)
    end = [gathered(p) for p in module.host.parameters]
    with torch.no_grad():
        after = base.losses(batch)
    return {
        "parameters": end,
        "moved": start is None or not all(map(torch.equal, start, end)),
        "losses": {side: loss.item() for side, loss in module.last_report.losses.items()},
        "base": (before - after).abs().max().item(),
        "sharded": len(sharded_modules(model)),
        "chat": bool(data.tokenizer.chat_template),
    }


def rounds_on_rank(tokenizer: str) -> dict[str, dict[str, Any]]:
    """Make the rounds of every shape under FSDP2."""
    return {name: rounds(name, tokenizer, devices=2, strategy=HOSTS["fsdp2"]()) for name in NAMES}
