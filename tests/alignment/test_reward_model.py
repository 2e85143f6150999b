"""RewardModel: learns generated preferences, counts tokens, loads what transformers saved."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from unlearnkit.alignment import RewardModel, fit_reward_model, preference_accuracy
from unlearnkit.alignment.reward_model import padded
from unlearnkit.batches import IGNORE
from unlearnkit.datamodules import Preferences
from unlearnkit.errors import ConfigurationError, DataError, DataNotFoundError, NonFiniteError
from unlearnkit.models import CausalLM


@pytest.fixture(scope="module")
def data() -> Preferences:
    made = Preferences(pairs=240, prompts=80, vocab_size=400, pair_ratio=0.5)
    made.setup()
    return made


@pytest.fixture(scope="module")
def fitted(data: Preferences) -> RewardModel:
    language_model = CausalLM(hidden_size=32, layers=1, heads=2, max_length=128)
    language_model.materialize(data.tokenizer)
    model = RewardModel.of(language_model)
    assert preference_accuracy(model, data.pair_batches()) == 0.5, "a head of zeros prefers nothing"
    history = fit_reward_model(model, data.pair_batches(), epochs=12, lr=3e-3)
    assert history[0] > 0.3 > history[-1]
    return model


def test_held_out_preferences_are_learned(data: Preferences, fitted: RewardModel) -> None:
    """Prompts of the test part are in no pair that was fitted."""
    assert preference_accuracy(fitted, data.pair_batches("test")) > 0.8
    assert preference_accuracy(fitted, data.pair_batches()) > 0.9


def test_rewards_of_tokens_add_up_to_the_responses(data: Preferences, fitted: RewardModel) -> None:
    fitted.eval()
    batch = next(data.pair_batches())
    with torch.no_grad():
        tokens = fitted.token_rewards(batch)
        prompts = padded(
            [(data.encode(row.prompt)[0], []) for row in data.pairs_of("pairs")[:32]], torch.device("cpu")
        )
        difference = fitted(batch) - fitted(prompts)
    assert torch.allclose(tokens.sum(1), difference, atol=1e-4)
    assert not tokens[batch["labels"] == IGNORE].any()


def test_padding_changes_nothing(data: Preferences, fitted: RewardModel) -> None:
    rows = [data.encode(row.prompt, row.chosen) for row in data.pairs_of("pairs")[:3]]
    fitted.eval()
    with torch.no_grad():
        together = fitted(padded(rows, torch.device("cpu")))
        alone = torch.cat([fitted(padded([row], torch.device("cpu"))) for row in rows])
    assert torch.allclose(together, alone, atol=1e-5)


def test_a_seed_fits_the_same_again(data: Preferences) -> None:
    def fit(seed: int) -> list[float]:
        language_model = CausalLM(hidden_size=16, layers=1, heads=2, max_length=128)
        language_model.materialize(data.tokenizer)
        return fit_reward_model(RewardModel.of(language_model), data.pair_batches(), lr=1e-3, seed=seed)

    state = torch.get_rng_state()
    assert fit(0) == fit(0) != fit(1)
    assert torch.equal(state, torch.get_rng_state())


def test_a_reward_model_of_transformers_loads_by_its_folder(tmp_path) -> None:
    from transformers import (
        BertConfig,
        BertForSequenceClassification,
        LlamaConfig,
        LlamaForSequenceClassification,
    )

    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    network = LlamaForSequenceClassification(
        LlamaConfig(vocab_size=20, num_labels=1, pad_token_id=0, **sizes)
    )
    network.eval().save_pretrained(tmp_path / "reward")
    ids = torch.tensor([[5, 6, 7]])
    model = RewardModel.load(str(tmp_path / "reward")).eval()
    with torch.no_grad():
        expected = network(input_ids=ids).logits[:, 0]
        assert torch.allclose(model(padded([([5, 6], [7])], torch.device("cpu"))), expected, atol=1e-6)
    many = LlamaForSequenceClassification(LlamaConfig(vocab_size=20, num_labels=3, pad_token_id=0, **sizes))
    many.save_pretrained(tmp_path / "three")
    with pytest.raises(ConfigurationError, match="`head` must have one output, the reward. Found 3"):
        RewardModel.load(str(tmp_path / "three"))
    BertForSequenceClassification(BertConfig(vocab_size=20, **sizes)).save_pretrained(tmp_path / "bert")
    with pytest.raises(ConfigurationError, match="a decoder with a linear layer `score`.*Found BertFor"):
        RewardModel.load(str(tmp_path / "bert"))
    with pytest.raises(
        DataNotFoundError, match="`name` must be a folder written by save_pretrained or a reward"
    ):
        RewardModel.load(str(tmp_path / "none"))


def test_bad_fits(data: Preferences) -> None:
    class Flat(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.zeros((), dtype=torch.float64))

        def forward(self, batch):
            return batch["input_ids"].double().sum(1) * self.scale * 1e200

    with pytest.raises(
        ConfigurationError, match="`epochs` must be 1 or above and `lr` above 0. Found epochs=0"
    ):
        fit_reward_model(Flat(), data.pair_batches(), epochs=0)
    with pytest.raises(DataError, match="`pairs` must hold at least one row"):
        fit_reward_model(Flat(), [])
    with pytest.raises(NonFiniteError, match="`lr` must be small enough for the loss to stay finite"):
        fit_reward_model(Flat(), data.pair_batches(), lr=1e120, epochs=3)
