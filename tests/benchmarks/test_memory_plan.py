"""The memory plan counts what is really allocated, and the committed numbers are those it prints."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.testing._internal.distributed.fake_pg import FakeStore

from benchmarks import memory_plan
from benchmarks.memory_plan import SETTINGS, Setting
from unlearnkit.host import PlainHost
from unlearnkit.models import CausalLM, LoRA
from unlearnkit.models.shapes import read_shape
from unlearnkit.objectives import NLL, AscentNLL
from unlearnkit.packaged import shape_names
from unlearnkit.strategies import NGDiff

ROOT = Path(__file__).parents[2]
KINDS = {
    "all": Setting("float32"),
    "mixed": Setting("float32", autocast=True),
    "lora": Setting("bfloat16", LoRA(rank=5)),
}


def narrow(kind: str, device: str = "cpu") -> CausalLM:
    """Return a Qwen2.5 of width 56 whose rows no power of two divides."""
    with torch.device(device):
        return memory_plan.build("qwen2.5-7b", KINDS[kind], width=56, vocabulary=101)


def batch(seed: int = 0) -> dict[str, torch.Tensor]:
    """Return two sequences, one of them padded."""
    ids = torch.randint(3, 101, (2, 16), generator=torch.Generator().manual_seed(seed))
    mask = torch.ones_like(ids)
    mask[0, 10:] = 0
    return {"input_ids": ids, "attention_mask": mask, "labels": ids.clone()}


@pytest.mark.parametrize("kind", ["all", "lora"])
def test_counts_are_the_bytes_of_a_real_round(kind):
    model, planned = narrow(kind), memory_plan.counted(narrow(kind, "meta"), gpus=1)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-3, fused=True)
    host = PlainHost(model, forget=AscentNLL(), retain=NLL(), optimizer=optimizer)
    pair = {"forget": batch(1), "retain": batch(2)}
    found = [host.gradients(side, pair)[1] for side in pair]
    NGDiff().step(host, pair)
    state = [value for values in optimizer.state.values() for value in values.values()]
    assert planned["parameters"] == sum(p.nbytes for p in model.parameters())
    assert [planned["gradients"], planned["stash"]] == [sum(g.nbytes for g in side) for side in found]
    assert planned["adamw"] == sum(value.nbytes for value in state)
    assert planned["reference"] == (planned["parameters"] if kind == "all" else 0)


@pytest.mark.parametrize("gpus", [2, 8])
@pytest.mark.parametrize("kind", ["all", "lora"])
def test_shards_are_those_that_fsdp2_makes(kind, gpus):
    """On the first of several GPUs that do not exist: FSDP2 cuts, nothing is sent."""
    planned = memory_plan.largest_shards(narrow(kind, "meta").parameters(), gpus)
    dist.init_process_group("fake", rank=0, world_size=gpus, store=FakeStore())
    try:
        mesh = init_device_mesh("cpu", (gpus,))
        model = narrow(kind)
        for block in model.shard_units():
            fully_shard(block, mesh=mesh)
        fully_shard(model.network, mesh=mesh)
        found = [p.to_local() for p in model.parameters()]
    finally:
        dist.destroy_process_group()
    assert [(p.shape, p.dtype) for p in planned] == [(p.shape, p.dtype) for p in found]
    even = sum(p.nbytes for p in narrow(kind).parameters()) / gpus
    assert memory_plan.size_of(planned) > even  # some rows do not divide


@pytest.mark.parametrize("kind", KINDS)
def test_what_autograd_saves_is_counted_without_computing(kind):
    real = memory_plan.saved_for_backward(narrow(kind), batch(), KINDS[kind].autocast)
    model = narrow(kind, "meta")
    with FakeTensorMode():
        memory_plan.pretend(model)
        ids = torch.zeros(2, 16, dtype=torch.long)
        fake = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": ids}
        found = memory_plan.saved_for_backward(model, fake, KINDS[kind].autocast)
    assert found == real
    logits = 2 * 16 * 101 * (4 if kind == "all" else 6)
    assert memory_plan.activations(narrow(kind, "meta"), KINDS[kind].autocast, 2, 16) == found + logits


def test_tied_weights_stay_one_when_they_are_pretended():
    with torch.device("meta"):
        model = memory_plan.build("llama-3.2-1b", KINDS["all"], width=32)
    before = sum(p.numel() for p in model.parameters())
    with FakeTensorMode():
        memory_plan.pretend(model)
    assert sum(p.numel() for p in model.parameters()) == before
    assert {p.device.type for p in model.parameters()} == {"cpu"}


def test_gathered_is_the_formula():
    model = narrow("all", "meta")
    block = sum(p.nbytes for p in model.network.model.layers[0].parameters())
    rest = sum(p.nbytes for p in model.parameters()) - 2 * block
    assert memory_plan.gathered(model, 8) == rest + 2 * block + rest + 2 * block
    assert memory_plan.gathered(model, 1) == 0
    adapted = narrow("lora", "meta")
    frozen = sum(p.nbytes for p in adapted.parameters() if not p.requires_grad)
    trained = sum(p.nbytes for p in adapted.parameters() if p.requires_grad)
    assert (
        memory_plan.gathered(adapted, 2) == frozen + trained + trained
    )  # two blocks: each gradient, twice one


def test_bf16_mixed_gathers_half_and_reduces_in_fp32():
    model = narrow("all", "meta")
    block = sum(p.numel() for p in model.network.model.layers[0].parameters())
    rest = sum(p.numel() for p in model.parameters()) - 2 * block
    found = memory_plan.gathered(model, 8, torch.bfloat16)
    assert found == 2 * (rest + 2 * block) + 2 * (rest + block) + 4 * block


def test_adding_takes_one_gradient_or_the_shard_of_one_block():
    model = narrow("all", "meta")
    block = memory_plan.largest_shards(model.network.model.layers[0].parameters(), 8)
    assert memory_plan.adding(model, 1) == 4 * 4 * 56 * 74 == max(p.nbytes for p in model.parameters())
    assert memory_plan.adding(model, 8) == sum(p.nbytes for p in block)


def test_micro_batches_are_planned_where_a_share_is_more_than_one():
    assert memory_plan.cases(32, 4) == [(1, None), (1, 4), (2, None), (2, 4), (8, None)]
    assert memory_plan.cases(32, 1) == [(g, m) for g in (1, 2, 8) for m in (None, 1)]


def test_the_script_plans_a_published_shape(tmp_path, monkeypatch, capsys):
    out = tmp_path / "plan.json"
    monkeypatch.setattr(sys, "argv", ["memory_plan.py", "--shapes", "llama-3.2-1b", "--out", str(out)])
    memory_plan.main()
    printed = capsys.readouterr().out
    results = json.loads(out.read_text())
    assert memory_plan.table(results) in printed
    assert all(formula in printed for formula in memory_plan.FORMULAS.values())
    plans = {(found["trained"], found["gpus"], found["at_a_time"]): found for found in results["plans"]}
    shares = [(1, 32), (1, 4), (2, 16), (2, 4), (8, 4)]
    assert list(plans) == [(name, *share) for name in SETTINGS for share in shares]
    whole = plans["all weights, fp32", 1, 32]["counted"]
    number, tensors = read_shape("llama-3.2-1b").parameters, 16 * 9 + 2
    assert (whole["parameters"], whole["stash"]) == (4 * number, 4 * number)
    assert whole["adamw"] == 8 * number + 4 * tensors
    for (name, gpus, _), found in plans.items():
        parts = sum(found["counted"].values()) + sum(found["estimated"].values())
        assert found["total_with_reference"] == parts
        of_reference = found["counted"]["reference"] + found["estimated"]["reference_gathered"]
        assert found["total"] == parts - of_reference
        assert (found["estimated"]["reference_gathered"] > 0) == (gpus > 1 and not name.startswith("LoRA"))
    for name in SETTINGS:
        totals = {share: plans[name, *share]["total"] for share in shares}
        assert totals[1, 32] > totals[2, 16] > totals[8, 4]
        assert totals[1, 32] > totals[1, 4] > totals[2, 4] > totals[8, 4]
        assert totals[2, 16] > totals[2, 4]
        kept = [plans[name, *share]["estimated"]["activations"] for share in shares[2:]]
        assert kept[1] == kept[2] == pytest.approx(kept[0] / 4, rel=1e-3)


def test_the_smallest_card_that_holds_it():
    sizes = (23e9, 24e9, 24.5e9, 141e9, 142e9)
    assert [memory_plan.card(int(size)) for size in sizes] == [24, 24, 40, 141, None]


def test_the_committed_plan_is_of_every_shape_and_the_readme_shows_it():
    results = json.loads((ROOT / "benchmarks" / "results" / "memory_plan.json").read_text("utf-8"))
    assert memory_plan.summary(results) in (ROOT / "benchmarks" / "README.md").read_text("utf-8")
    assert {found["shape"] for found in results["plans"]} == set(shape_names())
    for found in results["plans"]:
        if (found["trained"], found["gpus"]) == ("all weights, fp32", 1):
            assert found["counted"]["parameters"] == 4 * read_shape(found["shape"]).parameters
    totals = {(f["shape"], f["trained"], f["gpus"], f["at_a_time"]): f["total"] for f in results["plans"]}
    fuller = {
        (shape, *share)
        for (shape, trained, *share), total in totals.items()
        if trained == "all weights, bf16-mixed" and total > totals[shape, "all weights, fp32", *share]
    }
    assert fuller == {(shape, 1, 4) for shape in shape_names() if shape != "gpt2-xl"}
