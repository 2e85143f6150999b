"""How much memory a round takes on each GPU: the published architectures at full width, on 1, 2 and 8 GPUs.

    python benchmarks/memory_plan.py --out benchmarks/results/memory_plan.json

Counted, not typed in: each network is built on the meta device, where tensors have sizes and no memory, its
parameters are cut as FSDP2 cuts them (``Shard(0)``: the first GPU gets ceil(rows / GPUs) rows of each), one step of
AdamW allocates its state, and the bytes of these tensors are added up. On one GPU nothing is cut.

Estimated: what autograd keeps for the backward pass, with a GPU's whole share of a batch at a time and in
micro-batches, and what FSDP2 gathers. The numbers are those of the fullest GPU, for NGDiff without GeN, with fused
attention and without activation checkpointing. Nothing here ran on a GPU.
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
    "(counted with fake tensors on the sequences that go through this GPU at a time) + 4 bytes (6 where logits are in "
    "half precision) x tokens x vocabulary for the logits and their gradient. bf16-mixed: on one GPU autocast's bf16 "
    "copies of the weights are among these tensors; FSDP2 gathers in bf16, and there they are not",
    "gathered": "0 on one GPU; else what FSDP2 gathers, in bf16 under bf16-mixed: the parameters outside the blocks, "
    "which stay, + 2 blocks (one used, one fetched ahead) + the whole gradients of what is trained of the former and "
    "of one block + the copy of one block's gradients (fp32 under bf16-mixed) that is reduced",
    "adding": "0 without micro-batches; else the gradient that is being added to the earlier ones: the largest "
    "parameter's on one GPU, this GPU's shard of one block's on more",
    "reference_gathered": "0 on one GPU; else the reference's parameters outside its blocks, which stay",
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

    # Without its cache, as Lightning runs it.
    cast = torch.autocast("cpu", dtype=torch.bfloat16, cache_enabled=False)
    context = cast if autocast else nullcontext()
    with context, torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model.losses(batch)
    return sum(t.untyped_storage().nbytes() for storage, t in saved.items() if storage not in own)


def pretend(model: CausalLM, gather: torch.dtype | None = None) -> None:
    """Give a model of the meta device fake tensors on the processor, in place; call it under FakeTensorMode.

    Args:
        model: From the meta device.
        gather: Type in which FSDP2 gathers the parameters, or None for their own.
    """
    made: dict[Tensor, Tensor] = {}  # tied weights stay one
    for module in model.modules():
        for kind in (module._parameters, module._buffers):
            for name, tensor in kind.items():
                if tensor is None:
                    continue
                if tensor not in made:
                    learned = isinstance(tensor, nn.Parameter)
                    dtype = gather if learned and gather is not None else tensor.dtype
                    fake = torch.empty(tensor.shape, dtype=dtype)
                    made[tensor] = nn.Parameter(fake, tensor.requires_grad) if learned else fake
                kind[name] = made[tensor]


def activations(
    model: CausalLM, autocast: bool, sequences: int, tokens: int, gather: torch.dtype | None = None
) -> int:
    """Estimate the bytes of the activations of one backward pass (see ``FORMULAS``).

    The model comes from the meta device and can then only be used here.
    """
    with FakeTensorMode():
        pretend(model, gather)
        for name, module in model.named_modules():
            if isinstance(module, nn.Dropout) and name.endswith(("attn_dropout", "attention_dropout")):
                module.p = 0.0  # the processor's fused attention has no dropout, a GPU's has
        ids = torch.zeros(sequences, tokens, dtype=torch.long)
        batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": ids}
        found = saved_for_backward(model, batch, autocast)
    half = autocast or model.dtype_name != "float32"
    return found + (6 if half else 4) * sequences * tokens * int(model.network.config.vocab_size)


def outside(model: CausalLM) -> list[nn.Parameter]:
    """Return the parameters outside the blocks, which FSDP2 keeps gathered until the round is over."""
    inside = {id(p) for block in model.shard_units() for p in block.parameters()}
    return [p for p in model.parameters() if id(p) not in inside]


def largest_block(model: CausalLM) -> list[nn.Parameter]:
    """Return the parameters of the largest block."""
    return list(max(model.shard_units(), key=lambda unit: size_of(unit.parameters())).parameters())


def only_trained(parameters: Iterable[nn.Parameter]) -> list[nn.Parameter]:
    """Return the parameters that are trained."""
    return [p for p in parameters if p.requires_grad]


def gathered_size(parameters: Iterable[nn.Parameter], gather: torch.dtype | None) -> int:
    """Return the bytes of parameters, or of their gradients, where they are gathered."""
    return sum(p.nbytes if gather is None else p.numel() * gather.itemsize for p in parameters)


def gathered(model: CausalLM, gpus: int, gather: torch.dtype | None = None) -> int:
    """Estimate the bytes that FSDP2 gathers beside the shards (see ``FORMULAS``)."""
    if gpus == 1:
        return 0
    rest, block = outside(model), largest_block(model)
    reduced = gathered_size(only_trained(block), None if gather is None else torch.float32)
    gradients = gathered_size(only_trained([*rest, *block]), gather)
    return gathered_size([*rest, *block, *block], gather) + gradients + reduced


def adding(model: CausalLM, gpus: int) -> int:
    """Estimate the bytes of what is being added to the gradients of earlier micro-batches (see ``FORMULAS``)."""
    if gpus == 1:
        return max(p.nbytes for p in only_trained(model.parameters()))
    return size_of(largest_shards(only_trained(largest_block(model)), gpus))


def plan(
    shape: str, name: str, gpus: int, sequences: int, tokens: int, micro_batch_size: int | None = None
) -> dict[str, Any]:
    """Return the bytes on the fullest GPU, part by part, with the smallest cards that hold them.

    Args:
        shape: Packaged architecture, at full width.
        name: One of ``SETTINGS``.
        gpus: Number of GPUs.
        sequences: Sequences of one side of a round, over all GPUs.
        tokens: Tokens of each.
        micro_batch_size: Sequences that go through each GPU at a time; None takes its whole share.
    """
    setting = SETTINGS[name]
    with torch.device("meta"):
        model = build(shape, setting)
    gather = torch.bfloat16 if setting.autocast and gpus > 1 else None
    share = math.ceil(sequences / gpus)
    at_a_time = min(share, micro_batch_size or share)
    parts = counted(model, gpus)
    kept = gathered_size(outside(model), gather) if parts["reference"] and gpus > 1 else 0
    estimates = {
        "gathered": gathered(model, gpus, gather),
        "adding": adding(model, gpus) if at_a_time < share else 0,
        "reference_gathered": kept,
        "activations": activations(model, setting.autocast, at_a_time, tokens, gather),
    }
    with_reference = sum(parts.values()) + sum(estimates.values())
    total = with_reference - parts["reference"] - kept
    return {
        "shape": shape,
        "trained": name,
        "gpus": gpus,
        "at_a_time": at_a_time,
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


def cases(sequences: int, micro_batch_size: int) -> list[tuple[int, int | None]]:
    """Return numbers of GPUs with and without micro-batches; without alone where a share is not more than one.

    >>> cases(32, 4)
    [(1, None), (1, 4), (2, None), (2, 4), (8, None)]
    """
    return [
        (gpus, micro)
        for gpus in GPUS
        for micro in (None, micro_batch_size)
        if micro is None or micro < math.ceil(sequences / gpus)
    ]


def report(shapes: Sequence[str], sequences: int, tokens: int, micro_batch_size: int) -> dict[str, Any]:
    """Plan every shape in every setting on every number of GPUs, with and without micro-batches."""
    return {
        "format": 2,
        "kind": "memory_plan",
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "versions": {name: importlib.metadata.version(name) for name in ("torch", "transformers", "peft")},
        "batch": {"sequences": sequences, "tokens": tokens, "micro_batch_size": micro_batch_size},
        "lora_rank": 16,
        "formulas_of_estimates": FORMULAS,
        "plans": [
            plan(shape, name, gpus, sequences, tokens, micro)
            for shape in shapes
            for name in SETTINGS
            for gpus, micro in cases(sequences, micro_batch_size)
        ],
    }


def gb(size: int) -> str:
    """Return bytes as GB."""
    return f"{size / 1e9:.1f}"


def table(results: dict[str, Any]) -> str:
    """Return all parts as Markdown, GB on the fullest GPU."""
    columns = ("parameters", "gradients", "stash", "adamw", "reference", *FORMULAS)
    head = ["shape", "trained", "GPUs", "at a time", *columns[:5], *(f"~{name}" for name in FORMULAS)]
    head += ["~total", "card"]
    lines = ["| " + " | ".join(head) + " |", "|:---|:---|" + "---:|" * (len(head) - 2)]
    for found in results["plans"]:
        sizes = found["counted"] | found["estimated"]
        cells = [found["shape"], found["trained"], str(found["gpus"]), str(found["at_a_time"])]
        cells += [f"{sizes[name] / 1e9:.2f}" for name in columns]
        cells += [gb(found["total"]), str(found["smallest_card_gb"] or "none")]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def summary(results: dict[str, Any]) -> str:
    """Return the totals as Markdown: GB without / with a reference copy, and the smallest card for each."""
    batch = results["batch"]
    head = ["shape", "trained"]
    for gpus, micro in cases(batch["sequences"], batch["micro_batch_size"]):
        head.append(f"{gpus} GPU{'s' * (gpus > 1)}" + (f", {micro} at a time" if micro else ""))
    lines = ["| " + " | ".join(head) + " |", "|:---|:---|" + "---:|" * (len(head) - 2)]
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
    parser.add_argument("--micro-batch-size", type=int, default=4, help="sequences on each GPU at a time")
    parser.add_argument("--summary", action="store_true", help="print the totals alone")
    parser.add_argument("--out", type=Path, help="write the results as JSON")
    options = parser.parse_args()
    results = report(options.shapes, options.sequences, options.tokens, options.micro_batch_size)
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
