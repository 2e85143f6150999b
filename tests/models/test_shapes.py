"""Named architectures: published sizes on the meta device, narrowed ones in a real round."""

from __future__ import annotations

import pytest
import torch

from tests.models.test_causal_lm import Tokens, batch
from unlearnkit.datamodules import TOFU
from unlearnkit.datamodules.tokenizer_files import save_tokenizer, train_bpe
from unlearnkit.errors import ConfigurationError, UnknownNameError
from unlearnkit.host import PlainHost
from unlearnkit.models import CausalLM, LoRA
from unlearnkit.models.shapes import read_shape
from unlearnkit.objectives import NLL, NPO
from unlearnkit.packaged import shape_names, summary_of
from unlearnkit.strategies import NGDiff

# Published (model cards, or counted in the published weights), tied weights counted once.
PARAMETERS = {
    "falcon-1b": 1_311_625_216,
    "gpt2-xl": 1_557_611_200,
    "llama-3.2-1b": 1_235_814_400,
    "mistral-7b": 7_241_732_096,
    "phi-1.5": 1_418_270_720,
    "qwen2.5-1.5b": 1_543_714_304,
    "qwen2.5-7b": 7_615_616_512,
}
WIDTHS = {"qwen2.5-1.5b": 48, "qwen2.5-7b": 56} | {
    name: 32 for name in PARAMETERS if not name.startswith("qwen")
}
CHAT = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def narrow(name: str, tokens: int = 23, **changes) -> CausalLM:
    model = CausalLM(**({"shape": name, "width": WIDTHS[name]} | changes))
    model.materialize(Tokens(tokens))
    return model


def save_chat_tokenizer(folder) -> str:
    """Write a tokenizer from scratch that has a chat template; return its folder."""
    data = TOFU(authors=10, questions=3, vocab_size=400)
    data.setup()
    texts = [f"{row.question} {row.answer}" for row in [*data.samples("forget"), *data.samples("retain")]]
    tokenizer = train_bpe(texts, 400)
    tokenizer.chat_template = CHAT
    save_tokenizer(tokenizer, folder)
    return str(folder)


@pytest.fixture(scope="module")
def chat_tokenizer(tmp_path_factory) -> str:
    return save_chat_tokenizer(tmp_path_factory.mktemp("chat") / "tokenizer")


# ------------------------------------------------------------------------------------ full width


@pytest.mark.parametrize("name", shape_names())
def test_full_width_has_the_published_number_of_parameters(name):
    with torch.device("meta"):
        model = CausalLM(shape=name, dtype="bfloat16")
        model.materialize(Tokens(1000))
    assert sum(p.numel() for p in model.parameters()) == PARAMETERS[name] == read_shape(name).parameters
    assert {(p.device.type, p.dtype) for p in model.parameters()} == {("meta", torch.bfloat16)}
    config = model.network.config
    assert config.vocab_size == read_shape(name).config["vocab_size"]
    assert len(model.shard_units()) == config.num_hidden_layers
    assert model.context_length == CausalLM(shape=name).context_length == read_shape(name).context


def test_every_shape_is_counted_and_says_what_it_is():
    assert set(PARAMETERS) == set(shape_names())
    assert all(": " in summary_of(f"shapes/{name}.yaml") for name in shape_names())


def test_what_makes_a_family_reaches_its_network():
    """An option that transformers does not know would be kept and ignored."""
    llama, phi = (narrow(name).network for name in ("llama-3.2-1b", "phi-1.5"))
    assert llama.config.rope_parameters["rope_type"] == "llama3"
    assert llama.model.rotary_emb.rope_type == "llama3"
    assert phi.model.rotary_emb.inv_freq.shape == (32 // 4 // 2 // 2,)  # pairs in half of a head of 8
    falcon = narrow("falcon-1b").network
    assert falcon.transformer.use_alibi
    assert falcon.transformer.h[0].self_attention.query_key_value.bias is not None
    mistral = narrow("mistral-7b").network
    assert mistral.config.sliding_window == 4096
    gpt = narrow("gpt2-xl").network
    assert gpt.transformer.wpe.weight.shape[0] == 1024
    assert gpt.transformer.drop.p == 0.1
    for name, theta in (("qwen2.5-7b", 1e6), ("mistral-7b", 1e4), ("phi-1.5", 1e4), ("llama-3.2-1b", 5e5)):
        assert narrow(name).network.config.rope_parameters["rope_theta"] == theta


def test_full_width_takes_a_tokenizer_that_its_vocabulary_holds():
    with torch.device("meta"):
        CausalLM(shape="gpt2-xl").materialize(Tokens(50257))
        with pytest.raises(ConfigurationError, match=r"embedding \(50257\)\. Found 50258"):
            CausalLM(shape="gpt2-xl").materialize(Tokens(50258))


# -------------------------------------------------------------------------------- narrowed width


@pytest.mark.parametrize("name", shape_names())
def test_a_narrowed_shape_keeps_the_ratios_of_its_family(name):
    full, small = read_shape(name), narrow(name, layers=3).network.config
    config = full.config
    groups = config.get("num_key_value_heads", config["num_attention_heads"])
    found = getattr(small, "num_key_value_heads", None) or small.num_attention_heads
    assert small.num_attention_heads / found == config["num_attention_heads"] / groups
    assert found >= 2
    assert (small.hidden_size, small.num_hidden_layers, small.vocab_size) == (WIDTHS[name], 3, 23)
    if "intermediate_size" in config:
        ratio = config["intermediate_size"] / config["hidden_size"]
        assert small.intermediate_size == pytest.approx(ratio * WIDTHS[name], abs=1)
    assert small.tie_word_embeddings == config["tie_word_embeddings"]
    assert full == read_shape(name)  # what was built has not changed what was read


def test_weights_are_a_function_of_the_seed_alone_and_rounded_in_half_precision():
    torch.manual_seed(1)
    first = narrow("qwen2.5-7b", seed=4).state_dict()
    torch.manual_seed(2)
    again, half = narrow("qwen2.5-7b", seed=4), narrow("qwen2.5-7b", seed=4, dtype="bfloat16")
    assert all(torch.equal(first[name], value) for name, value in again.state_dict().items())
    assert all(torch.equal(first[name].bfloat16(), value) for name, value in half.state_dict().items())
    other = narrow("qwen2.5-7b", seed=5).state_dict()
    assert not torch.equal(first["network.lm_head.weight"], other["network.lm_head.weight"])


@pytest.mark.parametrize("name", [None, "llama-3.2-1b", "phi-1.5"])
def test_half_precision_rounds_weights_and_not_positions(name, tmp_path):
    """Rounded, the rotary frequencies of a model would differ from those of the same model loaded again."""
    model = CausalLM(dtype="bfloat16") if name is None else narrow(name, dtype="bfloat16")
    model.materialize(Tokens(23))
    buffers = {key: value for key, value in model.named_buffers() if value.is_floating_point()}
    assert {value.dtype for value in buffers.values()} == {torch.float32}
    model.save(tmp_path / "model")
    loaded = CausalLM(str(tmp_path / "model"), dtype="bfloat16")
    data = batch(length=200)
    assert torch.equal(loaded(data), model(data))
    assert all(torch.equal(dict(loaded.named_buffers())[key], value) for key, value in buffers.items())


@pytest.mark.parametrize("name", shape_names())
def test_answers_are_those_of_one_prompt_at_a_time_without_a_cache(name):
    """The cache, batches of unequal prompts and the adapter change nothing, ALiBi and learned positions included."""
    model = narrow(name, lora=LoRA(rank=2, dropout=0.2))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    prompts = [[5, 6, 7, 8], [8, 9], [10, 11, 12]]
    found = model.generate_ids(prompts, max_new_tokens=5, eos_id=-1)
    model.eval()
    for prompt, new in zip(prompts, found, strict=True):
        ids = list(prompt)
        for _ in range(5):
            ids.append(int(model.network(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
        assert new == ids[len(prompt) :]
    data = batch()
    pairs = [
        (row[:3].tolist(), row[3:end].tolist()) for row, end in zip(data["input_ids"], (6, 8, 8), strict=True)
    ]
    scores = [one.nll for one in model.score_ids(pairs)]
    assert scores == pytest.approx(model.losses(data).tolist(), rel=1e-4)


@pytest.mark.parametrize("name", shape_names())
def test_a_round_with_lora_and_a_chat_template(name, chat_tokenizer):
    """One NGDiff round of NPO against the adapter-off model on TOFU: it moves, the reference does not."""
    data = TOFU(authors=10, questions=3, tokenizer=chat_tokenizer, forget_batch_size=3, retain_batch_size=4)
    data.setup()
    model = CausalLM(shape=name, width=WIDTHS[name], lora=LoRA(rank=2, dropout=0.1))
    model.materialize(data.tokenizer)
    pair = data.batch(0)
    start = data.tokenizer.decode(pair["forget"]["input_ids"][0])
    assert start.startswith("<|user|>")
    assert "<|assistant|>" in start
    assert model.network.get_input_embeddings().weight.shape[0] == len(data.tokenizer)
    reference = model.without_adapter()
    before = {side: reference.losses(pair[side]) for side in pair}
    frozen = {n: p.detach().clone() for n, p in model.named_parameters() if not p.requires_grad}
    adapter = [p for p in model.parameters() if p.requires_grad]
    held = [p.detach().clone() for p in adapter]
    host = PlainHost(
        model,
        forget=NPO(),
        retain=NLL(),
        optimizer=torch.optim.AdamW(adapter, lr=1e-2),
        reference=lambda: reference,
    )
    report = NGDiff().step(host, pair)
    assert report.skipped is None
    assert all(torch.isfinite(loss) for loss in report.losses.values())
    assert float(report.gram.rr) > 0 and float(report.gram.ff) > 0
    assert any(not torch.equal(a, b) for a, b in zip(held, adapter, strict=True))
    assert all(torch.equal(value, dict(model.named_parameters())[n]) for n, value in frozen.items())
    assert all(torch.equal(reference.losses(pair[side]), before[side]) for side in pair)
    assert not torch.equal(model.eval().losses(pair["retain"]), before["retain"])


# ------------------------------------------------------------------------------------- bad input


def test_an_unknown_shape_lists_the_known_ones():
    with pytest.raises(UnknownNameError, match=r"gpt2-xl.*Found 'llama-3.2'. Did you mean 'llama-3.2-1b'\?"):
        CausalLM(shape="llama-3.2")


@pytest.mark.parametrize(
    ("name", "width", "remedy"),
    [
        ("llama-3.2-1b", 0, 32),
        ("llama-3.2-1b", -64, 32),
        ("llama-3.2-1b", 100, 96),
        ("llama-3.2-1b", 2048, 2016),
        ("qwen2.5-7b", 64, 56),
        ("gpt2-xl", 5000, 1584),
    ],
)
def test_a_width_that_does_not_fit_names_one_that_does(name, width, remedy):
    with pytest.raises(ConfigurationError, match=rf"Found {width}\. Use width={remedy}, or leave"):
        CausalLM(shape=name, width=width)
    CausalLM(shape=name, width=remedy)


def test_a_shape_and_a_name_or_a_width_without_a_shape_contradict():
    with pytest.raises(ConfigurationError, match="`name` and `shape` must not both be given"):
        CausalLM("some/folder", shape="gpt2-xl")
    with pytest.raises(ConfigurationError, match="`width` must go with `shape`"):
        CausalLM(width=64)
