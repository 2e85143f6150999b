"""LearnedReward and HubReward: from texts to rewards, of responses and of tokens."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from unlearnkit.alignment import HubReward, LearnedReward, PolicyGradientJ, RewardModel
from unlearnkit.datamodules import Preferences
from unlearnkit.errors import ConfigurationError, DataNotFoundError
from unlearnkit.models import CausalLM

CHAT = (
    "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


@pytest.fixture(scope="module")
def data() -> Preferences:
    made = Preferences(pairs=60, prompts=30, vocab_size=400)
    made.setup()
    return made


@pytest.fixture(scope="module")
def model(data: Preferences) -> RewardModel:
    language_model = CausalLM(hidden_size=16, layers=1, heads=2, max_length=128)
    language_model.materialize(data.tokenizer)
    made = RewardModel.of(language_model)
    torch.nn.init.ones_(made.head.weight)
    torch.nn.init.normal_(made.backbone.norm.weight, generator=torch.Generator().manual_seed(0))
    return made


def test_texts_are_scored_as_their_batches(data: Preferences, model: RewardModel) -> None:
    rows = data.pairs_of("pairs")
    reward = LearnedReward(model, data.encode, batch_rows=3)
    found = reward([row.prompt for row in rows], [row.rejected for row in rows])
    with torch.no_grad():
        expected = torch.cat([model.eval()(batch) for batch in data.pair_batches()])
    assert torch.allclose(torch.tensor(found), expected, atol=1e-5)
    blank = reward([rows[0].prompt], [" "])
    assert blank != found[:1]


def test_tokens_are_scored_for_j(data: Preferences, model: RewardModel) -> None:
    row = data.pairs_of("pairs")[0]
    [tokens] = LearnedReward(model, data.encode, tokens=True)([row.prompt], [row.chosen])
    prompt, response = data.encode(row.prompt, row.chosen)
    assert len(tokens) == len(response) - 1, "EOS goes with the last one"
    whole, start = (
        LearnedReward(model, lambda prompt, response, ids=ids: ids)([""], ["x"])[0]
        for ids in ((prompt, response), (prompt, []))
    )
    assert sum(tokens) == pytest.approx(whole - start, abs=1e-4)


def test_it_is_the_reward_of_a_policy_gradient(data: Preferences, model: RewardModel) -> None:
    policy = CausalLM(hidden_size=16, layers=1, heads=2, max_length=128)
    policy.materialize(data.tokenizer)
    measure = PolicyGradientJ(samples=2, length=3, text_reward=LearnedReward(model, data.encode))
    measure.bind(data)
    assert measure.eos_id == data.tokenizer.eos_token_id
    assert len(measure.prompts) == len({row.prompt for row in data.pairs_of("pairs")})
    assert any(part.abs().sum() > 0 for part in measure.gradient(policy))


def test_a_long_response_is_cut_at_its_end(data: Preferences, model: RewardModel) -> None:
    row = data.pairs_of("pairs")[0]
    prompt, response = data.encode(row.prompt, row.chosen)
    cut = LearnedReward(model, data.encode, max_length=len(prompt) + 2)([row.prompt], [row.chosen])
    assert cut == LearnedReward(model, lambda *texts: (prompt, response[:2]))([row.prompt], [row.chosen])
    with pytest.raises(ConfigurationError, match="`batch_rows` must be 1 or above. Found 0"):
        LearnedReward(model, data.encode, batch_rows=0)


@pytest.mark.parametrize("template", [None, CHAT])
def test_a_reward_model_by_name_brings_its_own_tokenizer(
    data: Preferences, tmp_path: Path, template: str | None
) -> None:
    from transformers import LlamaConfig, LlamaForSequenceClassification

    tokenizer = data.tokenizer
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = LlamaConfig(vocab_size=len(tokenizer), num_labels=1, pad_token_id=0, **sizes)
    network = LlamaForSequenceClassification(config).eval()
    network.save_pretrained(tmp_path)
    with pytest.raises(DataNotFoundError, match="`name` must have a tokenizer beside the model"):
        HubReward(str(tmp_path))(["Who?"], ["She."])
    tokenizer.save_pretrained(tmp_path)
    text = "Who?\nShe."
    if template:
        (tmp_path / "chat_template.jinja").write_text(template)
        text = "<user>Who?</s><assistant>She.</s>"
    [found] = HubReward(str(tmp_path))(["Who?"], ["She."])
    parts = text.partition("<assistant>" if template else "\n")
    ids = [token for part in (parts[0] + parts[1], parts[2]) for token in tokenizer(part)["input_ids"]]
    with torch.no_grad():
        expected = network(input_ids=torch.tensor([ids])).logits[0, 0].item()
    assert found == pytest.approx(expected, abs=1e-5)
