"""CausalLM: from scratch or by folder, losses against a naive softmax, bad input."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from tests.models.tiny_networks import CONTEXT, tiny
from unlearnkit.batches import IGNORE
from unlearnkit.errors import ConfigurationError, DataNotFoundError, UnknownNameError
from unlearnkit.models import CausalLM, LoRA

VOCABULARY = 23


class Tokens:
    pad_token_id, bos_token_id, eos_token_id = 0, 1, 2

    def __init__(self, size: int = VOCABULARY) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size


def scratch(**changes) -> CausalLM:
    model = CausalLM(**({"hidden_size": 16, "layers": 2, "heads": 2, "max_length": 32} | changes))
    model.materialize(Tokens())
    return model


def batch(size: int = 3, length: int = 8, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(3, VOCABULARY, (size, length), generator=generator)
    mask = torch.ones_like(ids)
    mask[0, 6:] = 0
    labels = ids.clone()
    labels[:, :3] = IGNORE
    labels[mask == 0] = IGNORE
    return {"input_ids": ids * mask, "attention_mask": mask, "labels": labels, "index": torch.arange(size)}


# ------------------------------------------------------------------------------------ from scratch


def test_weights_from_scratch_are_a_function_of_the_seed_alone():
    torch.manual_seed(1)
    first = scratch(seed=7).state_dict()
    torch.manual_seed(2)
    state = torch.get_rng_state()
    again = scratch(seed=7).state_dict()
    assert torch.equal(torch.get_rng_state(), state)  # building draws nothing from the caller's generator
    other = scratch(seed=8).state_dict()
    assert first.keys() == again.keys()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["network.lm_head.weight"], other["network.lm_head.weight"])


def test_network_from_scratch_has_the_sizes_and_special_tokens_asked_for():
    model = CausalLM(hidden_size=24, layers=3, heads=4, max_length=17)
    assert not model.built
    assert model.context_length == 17
    model.materialize(Tokens())
    config = model.network.config
    assert model.built
    assert model.context_length == 17
    found = (
        config.hidden_size,
        config.num_hidden_layers,
        config.num_attention_heads,
        config.intermediate_size,
    )
    assert found == (24, 3, 4, 96)
    assert (config.vocab_size, config.pad_token_id, config.bos_token_id, config.eos_token_id) == (23, 0, 1, 2)
    assert CausalLM(hidden_size=16, heads=2, intermediate_size=40).sizes["intermediate_size"] == 40


def test_embeddings_are_tied_and_counted_once():
    model = scratch()
    embedding = model.network.get_input_embeddings().weight
    assert model.network.get_output_embeddings().weight is embedding
    assert sum(parameter is embedding for parameter in model.parameters()) == 1


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_dtype_and_train_mode_are_set(dtype):
    model = scratch(dtype=dtype)
    assert {p.dtype for p in model.parameters()} == {getattr(torch, dtype)}
    assert model.network.training


def test_materialize_leaves_a_built_network_alone():
    model = scratch()
    network = model.network
    model.materialize(Tokens(5))
    assert model.network is network


def test_a_tokenizer_larger_than_the_embedding_is_refused():
    with pytest.raises(ConfigurationError, match=r"\(23\)\. Found 24\. Use the model's own tokenizer"):
        scratch().materialize(Tokens(24))


# ---------------------------------------------------------------------------------------- losses


@pytest.mark.parametrize("build", [scratch, lambda: scratch().double()], ids=["float32", "float64"])
def test_losses_are_the_naive_ones(build):
    model, data = build(), batch()
    logits = model(data)
    assert logits.shape == (3, 8, VOCABULARY)
    tokens = model.token_losses(data)
    assert tokens.shape == (3, 7)
    logits_shifted, targets, mask = model.units(data)
    tolerance = 1e-5 if logits.dtype == torch.float32 else 1e-13
    expected_sums, expected_counts = [], []
    for row in range(3):
        total, count = 0.0, 0
        for t in range(7):
            label = data["labels"][row, t + 1].item()
            if label == IGNORE:
                assert tokens[row, t].item() == 0.0
                assert not mask[row, t]
                continue
            # The logits at t predict the token at t + 1.
            nll = -logits[row, t].double().log_softmax(-1)[label].item()
            assert tokens[row, t].item() == pytest.approx(nll, rel=tolerance)
            assert targets[row, t].item() == label
            assert torch.equal(logits_shifted[row, t], logits[row, t])
            total, count = total + nll, count + 1
        expected_sums.append(total)
        expected_counts.append(count)
    assert model.losses(data).tolist() == pytest.approx(expected_sums, rel=tolerance)
    assert model.counts(data).tolist() == expected_counts == mask.sum(-1).tolist() == [3, 5, 5]


def test_gradient_is_that_of_the_naive_loss():
    model, data = scratch().double(), batch()
    parameters = list(model.parameters())
    found = torch.autograd.grad(model.losses(data).sum(), parameters)
    log_p = model(data)[:, :-1].log_softmax(-1)
    labels = data["labels"][:, 1:]
    naive = -log_p.gather(-1, labels.clamp_min(0)[..., None])[..., 0][labels != IGNORE].sum()
    expected = torch.autograd.grad(naive, parameters)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_gives_fp32_losses_near_the_fp32_ones(dtype):
    model, data = scratch(dtype=dtype), batch()
    losses = model.losses(data)
    logits, _, _ = model.units(data)
    assert losses.dtype == logits.dtype == torch.float32
    torch.testing.assert_close(losses, scratch().losses(data), rtol=2e-2, atol=0)
    # Rounding the softmax itself would show: a sum of 23 exponentials in bf16 is off by up to 1 %.
    naive = -logits.log_softmax(-1).gather(-1, data["labels"][:, 1:].clamp_min(0)[..., None])[..., 0]
    expected = (naive * (data["labels"][:, 1:] != IGNORE)).sum(-1)
    torch.testing.assert_close(losses, expected, rtol=1e-5, atol=1e-6)


def test_what_lies_behind_the_padding_does_not_matter():
    model, data = scratch(), batch()
    other = {name: value.clone() for name, value in data.items()}
    other["input_ids"][0, 6:] = 9
    torch.testing.assert_close(model.losses(other), model.losses(data))


def test_a_batch_equals_its_samples():
    model, data = scratch(), batch()
    whole = model.losses(data)
    for row in range(3):
        length = int(data["attention_mask"][row].sum())
        alone = {n: v[row : row + 1, :length] if v.dim() > 1 else v[row : row + 1] for n, v in data.items()}
        torch.testing.assert_close(model.losses(alone)[0], whole[row], rtol=1e-5, atol=1e-6)


def test_all_masked_is_zero_and_attached():
    model, data = scratch(), batch()
    data["labels"] = torch.full_like(data["labels"], IGNORE)
    losses = model.losses(data)
    losses.sum().backward()
    assert losses.tolist() == [0.0] * 3
    assert model.counts(data).tolist() == [0] * 3
    assert all(p.grad is not None and p.grad.abs().max() == 0 for p in model.parameters())


# ------------------------------------------------------------------------------- hidden states


@pytest.mark.parametrize("kind", ["llama", "gpt2", "mistral"])
def test_hidden_states_are_those_that_transformers_gives_after_a_block(kind, tmp_path):
    tiny(kind).save_pretrained(tmp_path)
    model, data = CausalLM(str(tmp_path)).eval(), batch()
    output = model.network(
        input_ids=data["input_ids"], attention_mask=data["attention_mask"], output_hidden_states=True
    )
    hidden, mask = model.hidden_states(data, 0)
    torch.testing.assert_close(hidden, output.hidden_states[1])  # the first is the embedding
    assert torch.equal(mask, data["labels"] != IGNORE)
    empty, _ = model.hidden_states({name: value[:0] for name, value in data.items()}, 0)
    assert len(empty) == 0


def test_looking_at_hidden_states_leaves_no_hook_and_a_gradient_for_every_weight():
    model = scratch(layers=2)
    model.hidden_states(batch(), 0)[0].sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    assert not any(block._forward_hooks for block in model.shard_units())
    with pytest.raises(ConfigurationError, match=r"`layer` must be from 0 to 1.*Found 2"):
        model.hidden_states(batch(), 2)


# --------------------------------------------------------------------------------------- blocks


def test_units_to_shard_are_the_blocks():
    model = scratch(layers=3)
    assert model.shard_units() == list(model.network.model.layers)
    adapted = scratch(layers=3, lora=LoRA(rank=2))
    assert adapted.shard_units() == list(adapted.network.model.layers)
    assert CausalLM().shard_units() == []


def test_a_longer_list_inside_a_block_is_not_taken_for_the_blocks():
    """Mixtures of experts hold more experts in a block than they have blocks."""
    model = scratch(layers=2)
    model.network.model.layers[0].experts = torch.nn.ModuleList(torch.nn.Linear(1, 1) for _ in range(5))
    assert model.shard_units() == list(model.network.model.layers)


# -------------------------------------------------------------------------------- save and load


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_saved_model_is_plain_transformers_with_the_same_logits(dtype, tmp_path):
    model, data = scratch(dtype=dtype).eval(), batch()
    model.save(tmp_path / "model")
    assert {p.name for p in (tmp_path / "model").iterdir()} >= {"config.json", "model.safetensors"}
    assert [p.name for p in tmp_path.iterdir()] == ["model"]
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "model", dtype=getattr(torch, dtype))
    expected = model(data)
    inputs = {name: data[name] for name in ("input_ids", "attention_mask")}
    assert torch.equal(plain(**inputs).logits, expected)
    again = CausalLM(str(tmp_path / "model"), dtype=dtype)
    assert again.network.training  # from_pretrained returns eval mode
    assert torch.equal(again(data), expected)
    assert again.context_length == 32
    assert again.network.get_output_embeddings().weight is again.network.get_input_embeddings().weight


def test_dtype_of_a_loaded_model_is_the_one_asked_for(tmp_path):
    scratch(dtype="bfloat16").save(tmp_path / "model")
    assert {p.dtype for p in CausalLM(str(tmp_path / "model")).parameters()} == {torch.float32}


@pytest.mark.parametrize("kind", ["gpt2", "llama", "mistral"])
def test_any_causal_network_of_transformers_loads(kind, tmp_path):
    network = tiny(kind).eval()
    network.save_pretrained(tmp_path / kind)
    model = CausalLM(str(tmp_path / kind)).eval()
    data = batch()
    expected = network(input_ids=data["input_ids"], attention_mask=data["attention_mask"]).logits
    assert torch.equal(model(data), expected)
    assert model.context_length == CONTEXT


def test_saving_over_a_model_replaces_it_whole(tmp_path):
    scratch(seed=1).save(tmp_path / "model")
    (tmp_path / "model" / "stale").write_text("from before")
    scratch(seed=2).save(tmp_path / "model")
    assert not (tmp_path / "model" / "stale").exists()
    loaded = CausalLM(str(tmp_path / "model"))
    assert torch.equal(loaded.network.lm_head.weight, scratch(seed=2).network.lm_head.weight)


# ------------------------------------------------------------------------------------ generation


def test_generation_continues_greedily_and_stops_at_eos():
    model = CausalLM(hidden_size=16, layers=1, heads=2, max_length=32)
    model.materialize(Tokens())
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0.0, 0.6)
    prompts = [[5, 6, 7], [8, 9], [10, 11, 12]]
    found = model.generate_ids(prompts, max_new_tokens=6, eos_id=2)
    model.eval()
    for prompt, new in zip(prompts, found, strict=True):
        ids = list(prompt)
        for _ in range(6):
            one = torch.tensor([ids])
            logits = model.network(input_ids=one).logits
            ids.append(int(logits[0, -1].argmax()))
            if ids[-1] == 2:
                ids.pop()
                break
        assert new == ids[len(prompt) :]


def test_predictions_continue_the_prompt_part_of_each_sequence():
    model, data = scratch(), batch()
    prompts = [row[:3].tolist() for row in data["input_ids"]]
    assert model.predictions(data, 4, eos_id=2) == model.generate_ids(prompts, 4, eos_id=2)


def test_scores_are_the_losses():
    model, data = scratch().eval(), batch()
    pairs = [
        (row[:3].tolist(), row[3:end].tolist()) for row, end in zip(data["input_ids"], (6, 8, 8), strict=True)
    ]
    found = model.score_ids(pairs)
    assert [one.nll for one in found] == pytest.approx(model.losses(data).tolist(), rel=1e-5)
    assert [one.tokens for one in found] == model.counts(data).tolist()


# ------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize("name", ["gpt2", "no-such-owner/no-such-model", "not a name", "runs/gone"])
def test_an_unknown_name_without_a_network_says_how_to_point_at_a_folder(name):
    with pytest.raises(DataNotFoundError) as error:
        CausalLM(name)
    message = str(error.value)
    assert message.startswith(
        "`name` must be a folder written by save_pretrained or a model name on the hub."
    )
    assert f"Found {name!r}" in message
    assert "give the path of a folder, or leave `name` unset" in message
    assert "\n" not in message


def damage_weights(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


@pytest.mark.parametrize(
    "damage",
    [
        damage_weights,
        lambda folder: (folder / "model.safetensors").write_bytes(b""),
        lambda folder: (folder / "model.safetensors").unlink(),
        lambda folder: (folder / "config.json").write_text('{"model_type": "lla'),
        lambda folder: (folder / "config.json").unlink(),
    ],
    ids=["half-weights", "empty-weights", "no-weights", "half-config", "no-config"],
)
def test_a_damaged_folder_is_named(damage, tmp_path):
    folder = tmp_path / "model"
    scratch().save(folder)
    damage(folder)
    with pytest.raises(DataNotFoundError, match=re.escape(repr(str(folder)))):
        CausalLM(str(folder))


@pytest.mark.parametrize("argument", ["hidden_size", "layers", "heads", "intermediate_size", "max_length"])
@pytest.mark.parametrize("value", [0, -4])
def test_sizes_must_be_positive(argument, value):
    with pytest.raises(ConfigurationError, match=f"`{argument}` must be 1 or above. Found {value}"):
        CausalLM(**{argument: value})


@pytest.mark.parametrize(("hidden_size", "heads", "remedy"), [(30, 4, 24), (12, 4, 8), (2, 4, 8)])
def test_heads_must_divide_the_width_in_pairs(hidden_size, heads, remedy):
    with pytest.raises(ConfigurationError, match=rf"Found {hidden_size}\. Use hidden_size={remedy}\."):
        CausalLM(hidden_size=hidden_size, heads=heads)
    CausalLM(hidden_size=remedy, heads=heads).materialize(Tokens())


def test_an_unknown_dtype_lists_the_known_ones():
    with pytest.raises(UnknownNameError, match=r"bfloat16, float16, float32\. Found 'bf16'"):
        CausalLM(dtype="bf16")


def test_an_empty_batch_has_no_loss_and_gradients_of_zero():
    """A rank without a sample runs the same passes as the others; no network can reshape nothing."""
    from tests.modules.tiny import tiny_lm, tokens

    model = tiny_lm()
    losses = model.losses({name: value[:0] for name, value in tokens(3, seed=0).items()})
    assert losses.shape == (0,)
    losses.sum().backward()
    assert all(p.grad is not None and not p.grad.any() for p in model.parameters())
