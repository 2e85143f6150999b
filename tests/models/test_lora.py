"""LoRA: what is trained, what is saved, and the model before its adapter as a reference for free."""

from __future__ import annotations

import copy
import sys

import pytest
import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn
from transformers import AutoModelForCausalLM

from tests.models.test_causal_lm import Tokens, batch, scratch
from tests.models.tiny_networks import tiny
from unlearnkit.errors import ConfigurationError, MissingDependencyError, UnknownNameError
from unlearnkit.host import PlainHost
from unlearnkit.models import CausalLM, LoRA
from unlearnkit.models.lora import WithoutAdapter, attach, merged, switched_off
from unlearnkit.objectives import NLL, NPO, KLToReference
from unlearnkit.strategies import NGDiff

ATTENTION = ("q_proj", "v_proj")


def adapted(**changes) -> CausalLM:
    """Return a tiny model whose adapter has moved away from zero."""
    model = scratch(**({"lora": LoRA(rank=2, dropout=0.4)} | changes))
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in trainable(model).values():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return model


def trainable(model: nn.Module) -> dict[str, nn.Parameter]:
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def everything(model: nn.Module) -> dict[str, object]:
    """Return what a call that leaves no trace must leave alone, apart from tensors."""
    modes = {name: module.training for name, module in model.named_modules()}
    switches = {
        f"{name}.off": module.disable_adapters
        for name, module in model.named_modules()
        if isinstance(module, BaseTunerLayer)
    }
    grads = {f"{name}.grad": parameter.requires_grad for name, parameter in model.named_parameters()}
    return modes | switches | grads


# --------------------------------------------------------------------------------------- what is trained


def test_only_the_adapter_is_trained_and_it_sits_on_every_linear_layer_but_the_output():
    model = scratch(lora=LoRA(rank=2))
    found = trainable(model)
    assert found
    assert all(".lora_A." in name or ".lora_B." in name for name in found)
    layers = {name.partition(".lora_")[0].rpartition(".")[2] for name in found}
    assert layers == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    # Each adapts [out, in] by 2 x (in + out) numbers; sizes 16 and 64, two blocks.
    assert sum(p.numel() for p in found.values()) == 2 * 2 * (4 * (16 + 16) + 3 * (16 + 64))


def test_targets_are_the_layers_of_these_names():
    names = trainable(scratch(lora=LoRA(rank=2, target_modules=ATTENTION)))
    assert {name.partition(".lora_")[0].rpartition(".")[2] for name in names} == set(ATTENTION)
    one = trainable(scratch(lora=LoRA(rank=2, target_modules=("layers.1.self_attn.k_proj",))))
    assert {name.partition(".lora_")[0] for name in one} == {"network.model.layers.1.self_attn.k_proj"}


def test_the_adapter_is_a_function_of_the_seed_alone():
    torch.manual_seed(1)
    first = trainable(scratch(seed=5, lora=LoRA()))
    torch.manual_seed(2)
    state = torch.get_rng_state()
    again = trainable(scratch(seed=5, lora=LoRA()))
    assert torch.equal(torch.get_rng_state(), state)
    other = trainable(scratch(seed=6, lora=LoRA()))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_a_loaded_model_gets_the_adapter_of_its_seed_and_keeps_its_outputs(tmp_path):
    scratch(seed=1).save(tmp_path / "model")
    model = CausalLM(str(tmp_path / "model"), seed=9, lora=LoRA(rank=2))
    expected = trainable(scratch(seed=9, lora=LoRA(rank=2)))
    assert all(torch.equal(value, expected[name]) for name, value in trainable(model).items())
    assert torch.equal(model(batch()), CausalLM(str(tmp_path / "model"))(batch()))  # B starts at zero
    assert model.network.training


def test_the_update_is_the_formula():
    lora = LoRA(rank=2, alpha=5.0, target_modules=("q_proj",))
    layer = adapted(lora=lora).network.model.layers[0].self_attn.q_proj
    inputs = torch.randn(3, 16)
    a, b, weight = layer.lora_A.default.weight, layer.lora_B.default.weight, layer.base_layer.weight
    expected = inputs @ weight.T + (5.0 / 2) * inputs @ a.T @ b.T
    torch.testing.assert_close(layer(inputs), expected)


def test_a_half_precision_model_has_an_adapter_in_fp32_and_fp32_losses():
    model = adapted(dtype="bfloat16")
    assert {p.dtype for p in trainable(model).values()} == {torch.float32}
    assert {p.dtype for p in model.parameters() if not p.requires_grad} == {torch.bfloat16}
    losses = model.losses(batch())
    assert losses.dtype == torch.float32
    losses.sum().backward()
    assert all(p.grad is not None for p in trainable(model).values())


@pytest.mark.parametrize("kind", ["gpt2", "mistral"])
def test_other_families_are_adapted_too(kind, recwarn):
    network = tiny(kind)
    attach(network, LoRA(rank=2), seed=0)
    assert not recwarn.list  # peft warns where it has to guess that GPT-2's weights lie transposed
    ids = torch.randint(3, 23, (2, 8))
    network(input_ids=ids, labels=ids).loss.backward()
    assert all((p.grad is None) != ("lora_" in name) for name, p in network.named_parameters())


# ------------------------------------------------------------------------------- the model before it


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_without_its_adapter_the_model_has_the_bits_of_the_plain_one(dtype):
    model, plain, data = adapted(dtype=dtype), scratch(dtype=dtype).eval(), batch()
    before = model.without_adapter()
    assert model.training
    assert torch.equal(before(data), plain(data))
    assert torch.equal(before.token_losses(data), plain.token_losses(data))
    assert torch.equal(before.losses(data), plain.losses(data))
    assert all(torch.equal(a, b) for a, b in zip(before.units(data), plain.units(data), strict=True))
    assert torch.equal(before.counts(data), plain.counts(data))
    assert not torch.equal(model.eval().losses(data), plain.losses(data))


def test_hidden_states_without_the_adapter_are_those_of_the_plain_model():
    model, plain = adapted(), scratch()
    for view, same in ((model, False), (model.without_adapter(), True)):
        hidden, _ = view.hidden_states(batch(), 0)
        assert torch.equal(hidden, plain.hidden_states(batch(), 0)[0]) == same


def test_looking_at_it_leaves_no_trace():
    model, data = adapted(), batch()
    model.network.model.layers[0].eval()  # modes are put back one by one, not set
    next(iter(trainable(model).values())).requires_grad_(False)
    before, bits = everything(model), copy.deepcopy(model.state_dict())
    torch.manual_seed(0)
    expected = model.losses(data)
    torch.manual_seed(0)
    model.without_adapter().losses(data)
    assert torch.equal(model.losses(data), expected)  # no draw of dropout was used up
    with pytest.raises(KeyError):
        model.without_adapter().losses({})
    assert everything(model) == before
    assert all(torch.equal(value, bits[name]) for name, value in model.state_dict().items())


def test_the_switch_is_put_back_as_it_was():
    model, data = adapted(), batch()
    with switched_off(model.network):
        model.without_adapter().losses(data)
        assert all(m.disable_adapters for m in model.modules() if isinstance(m, BaseTunerLayer))
    assert not any(m.disable_adapters for m in model.modules() if isinstance(m, BaseTunerLayer))


def test_keeping_it_registers_nothing_and_without_an_adapter_there_is_none():
    assert scratch().without_adapter() is None
    assert scratch(lora=LoRA()).without_adapter() is not None
    model = adapted()
    names = set(model.state_dict())
    holder = nn.Module()
    holder.model, holder.reference = model, model.without_adapter()
    assert isinstance(holder.reference, WithoutAdapter)
    assert {name.removeprefix("model.") for name in holder.state_dict()} == names


@pytest.mark.parametrize("objective", [NPO, KLToReference])
def test_rounds_with_it_as_reference_are_those_with_a_copy(objective):
    """Same bits after three rounds, dropout included, and the reference itself does not move."""
    ends = []
    for shared in (True, False):
        model = scratch(lora=LoRA(rank=2, dropout=0.3))
        origin = torch.cat([p.detach().flatten() for p in trainable(model).values()])
        data = {"forget": batch(seed=1), "retain": batch(seed=2)}
        if shared:
            reference = model.without_adapter()
        else:
            reference = scratch().requires_grad_(False).eval()
        start = reference.losses(data["retain"])
        host = PlainHost(
            model,
            forget=NPO() if objective is NPO else KLToReference(),
            retain=NLL(),
            optimizer=torch.optim.AdamW(trainable(model).values(), lr=1e-2),
            reference=lambda reference=reference: reference,
        )
        torch.manual_seed(0)
        for _ in range(3):
            NGDiff().step(host, data)
        assert torch.equal(reference.losses(data["retain"]), start)
        ends.append(torch.cat([p.detach().flatten() for p in trainable(model).values()]))
    assert torch.equal(*ends)
    assert not torch.equal(ends[0], origin)


# -------------------------------------------------------------------------- saving and generating


@pytest.mark.parametrize("kind", ["gpt2", "mistral"])
def test_merging_gives_a_plain_network_with_the_same_logits(kind):
    network = tiny(kind).eval()
    names = set(network.state_dict())
    attach(network, LoRA(rank=2), seed=0)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0.0, 0.1)
    ids = torch.randint(3, 23, (2, 8))
    plain = merged(network)
    assert set(plain.state_dict()) == names
    torch.testing.assert_close(plain(ids).logits, network(ids).logits, rtol=1e-4, atol=1e-5)


def test_a_saved_model_is_plain_transformers_and_the_live_one_goes_on(tmp_path):
    model, data = adapted(), batch()
    before, bits = everything(model), copy.deepcopy(model.state_dict())
    model.save(tmp_path / "model")
    assert everything(model) == before
    assert all(torch.equal(value, bits[name]) for name, value in model.state_dict().items())
    assert not [p.name for p in (tmp_path / "model").iterdir() if "adapter" in p.name]
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert set(plain.state_dict()) == set(scratch().network.state_dict())
    logits = plain(input_ids=data["input_ids"], attention_mask=data["attention_mask"]).logits
    torch.testing.assert_close(logits, model.eval()(data), rtol=1e-4, atol=1e-5)
    assert (logits - scratch().eval()(data)).abs().max() > 1e-2


def test_generation_and_scoring_see_the_adapter():
    model, data = adapted(), batch()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0.0, 0.6)
    pairs = [
        (row[:3].tolist(), row[3:end].tolist()) for row, end in zip(data["input_ids"], (6, 8, 8), strict=True)
    ]
    scores = [found.nll for found in model.score_ids(pairs)]
    answers = model.generate_ids([[5, 6, 7], [8, 9]], max_new_tokens=6, eos_id=2)
    assert model.training
    model.eval()
    assert scores == pytest.approx(model.losses(data).tolist(), rel=1e-5)
    plain = merged(model.network)
    assert scores != pytest.approx(model.without_adapter().losses(data).tolist(), rel=1e-2)
    for prompt, answer in zip([[5, 6, 7], [8, 9]], answers, strict=True):
        ids = list(prompt)
        for _ in range(6):
            ids.append(int(plain(torch.tensor([ids])).logits[0, -1].argmax()))
        expected = ids[len(prompt) :]
        assert answer == (expected[: expected.index(2)] if 2 in expected else expected)


# ------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rank": 0}, "`rank` must be 1 or above. Found 0. Use e.g. rank=8."),
        ({"rank": -3}, "`rank` must be 1 or above. Found -3."),
        ({"alpha": 0}, "`alpha` must be a finite number above 0. Found 0."),
        ({"alpha": float("nan")}, "`alpha` must be a finite number above 0. Found nan."),
        ({"alpha": float("inf")}, "`alpha` must be a finite number above 0. Found inf."),
        ({"dropout": 1.0}, "`dropout` must be 0 or above and below 1. Found 1.0."),
        ({"dropout": -0.1}, "`dropout` must be 0 or above and below 1. Found -0.1."),
        ({"target_modules": ()}, "`target_modules` must name at least one layer. Found none."),
    ],
)
def test_numbers_out_of_range_are_refused(change, message):
    with pytest.raises(ConfigurationError) as caught:
        LoRA(**change)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("target", ["query", "proj", "_proj", "layers", "input_layernorm", "lm_head"])
def test_a_target_that_is_no_linear_layer_lists_what_there_is(target):
    """The output layer is tied: merging an adapter into it would change the embedding as well."""
    with pytest.raises(UnknownNameError) as caught:
        scratch(lora=LoRA(target_modules=("q_proj", target)))
    message = str(caught.value)
    assert (
        "`target_modules` must be one of: down_proj, gate_proj, k_proj, o_proj, q_proj, up_proj, v_proj."
        in message
    )
    assert f"Found '{target}'" in message


def test_an_output_layer_of_its_own_can_be_adapted():
    network = tiny("mistral")
    assert network.lm_head.weight is not network.get_input_embeddings().weight
    attach(network, LoRA(rank=2, target_modules=("lm_head",)), seed=0)
    assert set(trainable(network)) == {"lm_head.lora_A.default.weight", "lm_head.lora_B.default.weight"}


def test_without_peft_the_command_to_install_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(MissingDependencyError, match=r"Run: pip install 'unlearnkit\[lora\]'"):
        CausalLM(lora=LoRA())
    CausalLM().materialize(Tokens())
