"""Each family of language models through training, unlearning, evaluation and export, narrowed to a second of work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from tests.models.test_shapes import WIDTHS
from tests.modules.tiny import flat, quiet
from unlearnkit.datamodules import TOFU, load_tokenizer
from unlearnkit.evaluators import TOFUEvaluator
from unlearnkit.models import CausalLM, LoRA
from unlearnkit.modules import FinetuningModule, UnlearningModule
from unlearnkit.objectives import NLL, NPO
from unlearnkit.strategies import NGDiff

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*fused.*"),
]

FAMILIES = {
    "llama-3.2-1b": "llama",
    "phi-1.5": "phi",
    "falcon-1b": "falcon",
    "gpt2-xl": "gpt2",
    "mistral-7b": "mistral",
    "qwen2.5-1.5b": "qwen2",
}
ROWS = 6


def data(**arguments: Any) -> TOFU:
    """Return six pairs to forget and 54 to keep."""
    found = TOFU(
        authors=20, questions=3, vocab_size=300, forget_batch_size=3, retain_batch_size=4, **arguments
    )
    found.setup()
    return found


def unlearned(model: CausalLM, pair: TOFU) -> CausalLM:
    """Return the model after two rounds of NPO and NLL by NGDiff."""
    module = UnlearningModule(
        model,
        forget=NPO(),
        retain=NLL(),
        strategy=NGDiff(),
        optimizer=lambda parameters: torch.optim.AdamW(parameters, lr=3e-3),
    )
    trainer = quiet(max_epochs=-1, max_steps=2, limit_val_batches=0)
    trainer.fit(module, datamodule=pair)
    assert trainer.global_step == 2 and module.skipped_rounds == 0
    return model


@pytest.fixture(scope="module", params=FAMILIES)
def target(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """Return a family and the folder of a target that learned for six steps."""
    folder = tmp_path_factory.mktemp(request.param) / "model"
    model = CausalLM(shape=request.param, width=WIDTHS[request.param], layers=2)
    learned = data(train_on="full", train_batch_size=16)
    trainer = quiet(max_epochs=-1, max_steps=6, limit_val_batches=0)
    trainer.fit(FinetuningModule(model, warmup_steps=1), datamodule=learned)
    assert trainer.global_step == 6
    model.save(folder, learned.tokenizer)
    return request.param, folder


def test_a_target_is_trained_unlearned_and_evaluated(target: tuple[str, Path]) -> None:
    family, folder = target
    model, pair = CausalLM(str(folder)), data(tokenizer=str(folder))
    assert model.network.config.model_type == FAMILIES[family]
    evaluator, start = TOFUEvaluator(rows=ROWS, max_new_tokens=8), flat(model)
    before = evaluator.evaluate(model, pair)
    after = evaluator.evaluate(unlearned(model, pair), pair)
    assert not torch.equal(start, flat(model))
    assert after["comparability"]["n"] == dict.fromkeys(before["comparability"]["n"], ROWS)
    for found in (before, after):
        assert found["summary"]["non_finite"] == 0
        assert found["summary"]["model_utility"] is not None
    assert after["summary"]["forget_loss"] > before["summary"]["forget_loss"]


def test_a_merged_adapter_is_plain_transformers_with_the_same_logits(
    target: tuple[str, Path], tmp_path: Path
) -> None:
    _, folder = target
    model, pair = CausalLM(str(folder), lora=LoRA(rank=2)), data(tokenizer=str(folder))
    unlearned(model, pair)
    model.save(tmp_path / "model", pair.tokenizer)
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "model").eval()
    origin = AutoModelForCausalLM.from_pretrained(folder).eval()
    assert set(plain.state_dict()) == set(origin.state_dict())
    assert type(plain) is type(origin)
    batch = pair.batch(0)["forget"]
    asked = {name: batch[name] for name in ("input_ids", "attention_mask")}
    scored = batch["attention_mask"] == 1
    with torch.no_grad():
        logits, own = plain(**asked).logits[scored], model.eval()(batch)[scored]
        moved = (logits - origin(**asked).logits[scored]).abs().max()
    torch.testing.assert_close(logits, own, rtol=1e-4, atol=1e-5)
    assert moved > 1e-3
    assert load_tokenizer(str(tmp_path / "model")).get_vocab() == pair.tokenizer.get_vocab()
