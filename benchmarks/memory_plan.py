"""How much memory a round takes on each GPU: the published architectures at full width, on 1, 2 and 8 GPUs.

    python benchmarks/memory_plan.py --out benchmarks/results/memory_plan.json

Counted, not typed in: each network is built on the meta device, where tensors have sizes and no memory, its
parameters are cut as FSDP2 cuts them (``Shard(0)``: the first GPU gets ceil(rows / GPUs) rows of each), one step of
AdamW allocates its state, and the bytes of these tensors are added up. On one GPU nothing is cut.

Estimated: what autograd keeps for the backward pass, and what FSDP2 gathers. The numbers are those of the fullest
GPU, for NGDiff without GeN, with fused attention and without activation checkpointing. Nothing here ran on a GPU.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import math
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from unlearnkit.artifacts import atomic_write_json
from unlearnkit.models import CausalLM, LoRA
from unlearnkit.packaged import shape_names

GPUS = (1, 2, 8)
CARDS = (24, 40, 80, 141)
"""Memory of common cards. Totals count GB of 1e9 bytes and cards have nearly GiB: 7 % stay for CUDA and gaps."""

FORMULAS = {
    "activations": "bytes of the distinct tensors, parameters apart, that autograd saves for one side's loss "
    "(counted with fake tensors on this GPU's share of the batch) + 4 bytes (6 where logits are in half precision) "
    "x tokens x vocabulary for the logits and their gradient",
    "gathered": "0 on one GPU; else what FSDP2 gathers: the parameters outside the blocks, which stay, + 2 blocks "
    "(one used, one fetched ahead) + the whole gradients of what is trained of both, twice for one block (reduced "
    "from a copy)",
}


@dataclass(frozen=True)
class Setting:
    """What is trained, in which precision.

    Attributes:
        dtype: Type of the weights.
        lora: Adapter, or None where all weights are trained.
        autocast: Whether matrix products run in bf16 although the weights are in fp32.
    """

    dtype: str
    lora: LoRA | None = None
    autocast: bool = False


SETTINGS = {
    "all weights, fp32": Setting("float32"),
    "all weights, bf16-mixed": Setting("float32", autocast=True),
    "LoRA (fp32) on bf16": Setting("bfloat16", LoRA(rank=16)),
}


class Tokens:
    """What a tokenizer must offer for a model to be built."""

    pad_token_id, bos_token_id, eos_token_id = 0, 1, 2

    def __init__(self, size: int) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size


def build(shape: str, setting: Setting, width: int | None = None, vocabulary: int = 500) -> CausalLM:
    """Build a model of the published size, or a narrowed one, on the device of the context."""
    model = CausalLM(shape=shape, width=width, dtype=setting.dtype, lora=setting.lora)
    model.materialize(Tokens(vocabulary))
    return model


def size_of(tensors: Iterable[Tensor]) -> int:
    """Return the bytes of some tensors."""
    return sum(tensor.nbytes for tensor in tensors)


def largest_shards(parameters: Iterable[nn.Parameter], gpus: int) -> list[nn.Parameter]:
    """Return what the first of some GPUs holds of each parameter, on the meta device."""
    return [
        nn.Parameter(
            torch.empty((math.ceil(p.shape[0] / gpus), *p.shape[1:]), dtype=p.dtype, device="meta"),
            requires_grad=p.requires_grad,
        )
        for p in parameters
    ]


def counted(model: CausalLM, gpus: int) -> dict[str, int]:
    """Return the bytes on the fullest GPU of what lives from one round to the next, and of both gradients."""
    shards = largest_shards(model.parameters(), gpus)
    trained = [p for p in shards if p.requires_grad]
    for parameter in trained:
        parameter.grad = torch.empty_like(parameter)
    stash = [torch.empty_like(p) for p in trained]
    optimizer = torch.optim.AdamW(trained, foreach=False)
    optimizer.step()
    state = [value for values in optimizer.state.values() for value in values.values()]
    return {
        "parameters": size_of(shards),
        "gradients": size_of(p.grad for p in trained if p.grad is not None),
        "stash": size_of(stash),
        "adamw": size_of(state),
        # With an adapter, the frozen weights are the reference.
        "reference": size_of(shards) if model.without_adapter() is None else 0,
    }


def saved_for_backward(model: CausalLM, batch: dict[str, Any], autocast: bool) -> int:
    """Return the bytes of the distinct storages, parameters apart, that autograd saves for the loss of a batch."""
    own = {p.untyped_storage()._cdata for p in model.parameters()}
    saved: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        saved[tensor.untyped_storage()._cdata] = tensor
        return tensor

    context = torch.autocast("cpu", dtype=torch.bfloat16) if autocast else nullcontext()
    with context, torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model.losses(batch)
    return sum(t.untyped_storage().nbytes() for storage, t in saved.items() if storage not in own)


def pretend(model: CausalLM) -> None:
    """Give a model of the meta device fake tensors on the processor, in place; call it under FakeTensorMode."""
    made: dict[Tensor, Tensor] = {}  # tied weights stay one
    for module in model.modules():
        for kind in (module._parameters, module._buffers):
            for name, tensor in kind.items():
                if tensor is None:
                    continue
                if tensor not in made:
                    fake = torch.empty(tensor.shape, dtype=tensor.dtype)
                    learned = isinstance(tensor, nn.Parameter)
                    made[tensor] = nn.Parameter(fake, tensor.requires_grad) if learned else fake
                kind[name] = made[tensor]


def activations(model: CausalLM, autocast: bool, sequences: int, tokens: int) -> int:
    """Estimate the bytes of the activations of one side's backward (see ``FORMULAS``).

    The model comes from the meta device and can then only be used here.
    """
    with FakeTensorMode():
        pretend(model)
        for name, module in model.named_modules():
            if isinstance(module, nn.Dropout) and name.endswith(("attn_dropout", "attention_dropout")):
                module.p = 0.0  # the processor's fused attention has no dropout, a GPU's has
        ids = torch.zeros(sequences, tokens, dtype=torch.long)
        batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": ids}
        found = saved_for_backward(model, batch, autocast)
    half = autocast or model.dtype_name != "float32"
    return found + (6 if half else 4) * sequences * tokens * int(model.network.config.vocab_size)


def gathered(model: CausalLM, gpus: int) -> int:
    """Estimate the bytes that FSDP2 gathers beside the shards (see ``FORMULAS``)."""
    if gpus == 1:
        return 0
    blocks = model.shard_units()
    inside = {id(p) for block in blocks for p in block.parameters()}
    rest = [p for p in model.parameters() if id(p) not in inside]
    block = list(max(blocks, key=lambda unit: size_of(unit.parameters())).parameters())

    def trained(parameters: Sequence[nn.Parameter]) -> int:
        return size_of(p for p in parameters if p.requires_grad)

    return size_of(rest) + 2 * size_of(block) + trained(rest) + 2 * trained(block)


def plan(shape: str, name: str, gpus: int, sequences: int, tokens: int) -> dict[str, Any]:
    """Return the bytes on the fullest GPU, part by part, with the smallest cards that hold them.

    Args:
        shape: Packaged architecture, at full width.
        name: One of ``SETTINGS``.
        gpus: Number of GPUs.
        sequences: Sequences of one side of a round, over all GPUs.
        tokens: Tokens of each.
    """
    setting = SETTINGS[name]
    with torch.device("meta"):
        model = build(shape, setting)
    parts = counted(model, gpus)
    estimates = {
        "gathered": gathered(model, gpus),
        "activations": activations(model, setting.autocast, math.ceil(sequences / gpus), tokens),
    }
    with_reference = sum(parts.values()) + sum(estimates.values())
    total = with_reference - parts["reference"]
    return {
        "shape": shape,
        "trained": name,
        "gpus": gpus,
        "counted": parts,
        "estimated": estimates,
        "total": total,
        "total_with_reference": with_reference,
        "smallest_card_gb": card(total),
        "smallest_card_with_reference_gb": card(with_reference),
    }


def card(size: int) -> int | None:
    """Return the smallest card that holds a number of bytes, GB, or None."""
    return next((memory for memory in CARDS if size <= memory * 1e9), None)


def report(shapes: Sequence[str], sequences: int, tokens: int) -> dict[str, Any]:
    """Plan every shape in every setting on every number of GPUs."""
    return {
        "format": 1,
        "kind": "memory_plan",
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "versions": {name: importlib.metadata.version(name) for name in ("torch", "transformers", "peft")},
        "batch": {"sequences": sequences, "tokens": tokens},
        "lora_rank": 16,
        "formulas_of_estimates": FORMULAS,
        "plans": [
            plan(shape, name, g, sequences, tokens) for shape in shapes for name in SETTINGS for g in GPUS
        ],
    }


def gb(size: int) -> str:
    """Return bytes as GB."""
    return f"{size / 1e9:.1f}"


def table(results: dict[str, Any]) -> str:
    """Return all parts as Markdown, GB on the fullest GPU."""
    columns = ("parameters", "gradients", "stash", "adamw", "reference", "activations", "gathered")
    head = ["shape", "trained", "GPUs", *columns[:5], *(f"~{name}" for name in columns[5:]), "~total", "card"]
    lines = ["| " + " | ".join(head) + " |", "|:---|:---|" + "---:|" * (len(head) - 2)]
    for found in results["plans"]:
        sizes = found["counted"] | found["estimated"]
        cells = [found["shape"], found["trained"], str(found["gpus"])]
        cells += [f"{sizes[name] / 1e9:.2f}" for name in columns]
        cells += [gb(found["total"]), str(found["smallest_card_gb"] or "none")]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def summary(results: dict[str, Any]) -> str:
    """Return the totals as Markdown: GB without / with a reference copy, and the smallest card for each."""
    lines = [
        "| shape | trained | " + " | ".join(f"{g} GPU{'s' * (g > 1)}" for g in GPUS) + " |",
        "|:---|:---|" + "---:|" * len(GPUS),
    ]
    rows: dict[tuple[str, str], list[str]] = {}
    for found in results["plans"]:
        both = [
            f"{gb(found[total])} ({found[smallest] or 'none'})"
            for total, smallest in (
                ("total", "smallest_card_gb"),
                ("total_with_reference", "smallest_card_with_reference_gb"),
            )
        ]
        cell = both[0] if found["counted"]["reference"] == 0 else " / ".join(both)
        rows.setdefault((found["shape"], found["trained"]), []).append(cell)
    return "\n".join([*lines, *(f"| {' | '.join([*row, *cells])} |" for row, cells in rows.items())])


def main() -> None:
    """Count, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shapes", nargs="+", choices=shape_names(), default=shape_names())
    parser.add_argument("--sequences", type=int, default=32, help="of one side of a round, over all GPUs")
    parser.add_argument("--tokens", type=int, default=256, help="of each sequence")
    parser.add_argument("--summary", action="store_true", help="print the totals alone")
    parser.add_argument("--out", type=Path, help="write the results as JSON")
    options = parser.parse_args()
    results = report(options.shapes, options.sequences, options.tokens)
    print(summary(results) if options.summary else table(results))
    print(
        f"\nGB on the fullest GPU; {options.sequences} sequences of {options.tokens} tokens a side. Estimates (~):"
    )
    for name, formula in FORMULAS.items():
        print(f"{name} = {formula}.")
    if options.out:
        atomic_write_json(options.out, results)


if __name__ == "__main__":
    main()
