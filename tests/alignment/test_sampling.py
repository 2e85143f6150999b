"""Draws: by row alone, of any prompt lengths, from the model's own distribution."""

from __future__ import annotations

import torch

from unlearnkit.alignment.sampling import draw_responses, prompts_of, uniform_draws
from unlearnkit.batches import IGNORE
from unlearnkit.datamodules import train_bpe
from unlearnkit.models import CausalLM
from unlearnkit.synthetic.toy_preferences import toy_tokens
from unlearnkit.testing import TinyGPT


def test_prompts_of_unequal_length_are_drawn_as_alone() -> None:
    model = TinyGPT(seed=2)
    draws = uniform_draws(0, 0, [0, 1, 2], 1, 3).flatten(0, 1)
    prompts = [[14, 8, 0], [14], [14, 9]]
    whole = draw_responses(model, prompts, draws, pad_id=7)
    for row, prompt in enumerate(prompts):
        alone = draw_responses(model, [prompt], draws[row : row + 1], pad_id=7)
        assert torch.equal(alone.response_ids[0], whole.response_ids[row])
        assert whole.prompt_ids[row].tolist() == [7] * (3 - len(prompt)) + prompt
    assert prompts_of(whole.batch) == prompts
    scored = [labels[labels != IGNORE].tolist() for labels in whole.batch["labels"]]
    assert scored == whole.response_ids.tolist()


def test_the_first_word_is_drawn_as_often_as_the_model_says() -> None:
    model = TinyGPT(seed=2)
    drawn = draw_responses(model, [[14, 8]] * 4000, uniform_draws(0, 0, [0], 4000, 1)[0])
    shares = torch.bincount(drawn.response_ids[:, 0], minlength=8) / 4000
    batch = toy_tokens([0], [[0, 0, 0, 0]])
    truth = model(batch)[0, 1].softmax(-1)
    assert (shares - truth).abs().max() < 3.5 * (0.25 / 4000) ** 0.5


def test_responses_end_at_eos_which_is_part_of_them() -> None:
    model = TinyGPT(seed=2)
    drawn = draw_responses(model, [[14, 8]] * 50, uniform_draws(0, 0, [0], 50, 4)[0], eos_id=3, pad_id=1)
    ended = 0
    for ids, mask, labels in zip(drawn.response_ids, drawn.mask, drawn.batch["labels"], strict=True):
        own = ids[mask].tolist()
        assert labels[labels != IGNORE].tolist() == own
        assert 3 not in own[:-1]
        assert set(ids[~mask].tolist()) <= {1}
        ended += own[-1] == 3
        assert own[-1] == 3 or len(own) == 4
    assert 0 < ended < 50


def test_kept_keys_and_values_draw_what_whole_sequences_do() -> None:
    tokenizer = train_bpe(["some text"] * 9, 270)
    model = CausalLM(hidden_size=16, layers=2, heads=2, max_length=64)
    model.materialize(tokenizer)
    prompts = [[5, 9, 11, 40], [7], [8, 8, 30, 2, 1, 77], [12, 3]]
    draws = uniform_draws(3, 0, range(4), 1, 12).flatten(0, 1)
    kept = draw_responses(model, prompts, draws)

    class Whole(torch.nn.Module):
        """The same model without a network that keeps anything."""

        def __init__(self) -> None:
            super().__init__()
            self.inner = model

        def forward(self, batch):
            return self.inner(batch)

    again = draw_responses(Whole(), prompts, draws)
    assert torch.equal(kept.response_ids, again.response_ids)
    assert torch.equal(kept.batch["input_ids"], again.batch["input_ids"])
    assert prompts_of(kept.batch) == prompts
    eos = int(kept.response_ids[2, 4])
    ended = draw_responses(model, prompts, draws, eos_id=eos)
    assert ended.response_ids[2][ended.mask[2]].tolist() == kept.response_ids[2, :5].tolist()
