"""MUSE as a data module: blocks by side, tokenizer, rounds, bad input."""

from __future__ import annotations

import pytest
import torch
from lightning.pytorch import Trainer

from unlearnkit.artifacts import Split
from unlearnkit.datamodules import MUSE
from unlearnkit.errors import ConfigurationError, DataNotFoundError, MismatchError, UnknownNameError
from unlearnkit.models import CausalLM
from unlearnkit.modules import FinetuningModule, UnlearningModule
from unlearnkit.synthetic import write_news_folder

SMALL = {"articles": 20, "vocab_size": 400, "max_length": 64}


def ready(**arguments) -> MUSE:
    data = MUSE(**{**SMALL, **arguments})
    data.setup()
    return data


def text_of(data, blocks):
    return data.tokenizer.decode([token for block in blocks for token in block.ids], skip_special_tokens=True)


def test_sides_are_the_texts_of_the_split_in_blocks_of_one_length():
    data = ready()
    documents = data._known().documents
    for side, numbers in (("forget", data.split.forget), ("retain", data.split.retain)):
        whole = "\n\n".join(documents[number] for number in numbers)
        assert text_of(data, data.samples(side)).startswith(whole)
        assert {len(block.ids) for block in data.samples(side)} == {64}
    indices = [block.index for side in ("forget", "retain") for block in data.samples(side)]
    assert indices == list(range(len(indices)))


def test_target_learns_all_and_the_reference_nothing_to_be_forgotten():
    target, reference = ready(train_on="full", cut="documents"), ready(train_on="retain", cut="documents")
    assert target.split == reference.split
    assert target.tokenizer.get_vocab() == reference.tokenizer.get_vocab()
    forget = text_of(target, target.samples("forget"))
    assert forget in text_of(target, target.samples("train"))
    assert forget[:60] not in text_of(reference, reference.samples("train"))
    assert len(target.samples("train")) - len(reference.samples("train")) == len(target.samples("forget"))


def test_a_folder_gives_the_same_split_and_batches(tmp_path):
    folder = write_news_folder(tmp_path / "MUSE-News", articles=20)
    data, read = ready(), ready(path=str(folder), articles=100)
    assert data.split == read.split
    for side in ("forget", "retain"):
        assert torch.equal(data.batch(3)[side]["input_ids"], read.batch(3)[side]["input_ids"])


def test_blocks_are_no_longer_than_the_models_context():
    data = MUSE(**{**SMALL, "max_length": 2048}, train_on="full")
    module = FinetuningModule(CausalLM(hidden_size=16, layers=1, heads=2, max_length=48))
    trainer = Trainer(
        max_steps=2, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, limit_val_batches=0,
    )  # fmt: skip
    trainer.fit(module, datamodule=data)
    assert {len(block.ids) for block in data.samples("train")} == {48}


def test_unlearning_runs_on_blocks():
    data = MUSE(**SMALL)
    data.setup()
    module = UnlearningModule(CausalLM(hidden_size=16, layers=1, heads=2, max_length=64))
    trainer = Trainer(
        max_steps=3, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, limit_val_batches=0,
    )  # fmt: skip
    trainer.fit(module, datamodule=data)
    assert trainer.global_step == 3


def test_unseen_batches_are_of_the_holdout():
    data = ready()
    batches = list(data.unseen_batches())
    assert sum(len(batch["index"]) for batch in batches) == len(data.samples("forget"))
    start = data.tokenizer.decode(batches[0]["input_ids"][0], skip_special_tokens=True)
    assert start[:40] == data._known().holdout[0][:40]


def test_sequential_requests_keep_one_source_of_documents():
    one, two = ready(forget="sust_1"), ready(forget="sust_2")
    assert one.split.source == two.split.source and not set(one.split.forget) & set(two.split.forget)
    assert one.samples("forget")[0].ids != two.samples("forget")[0].ids


def test_the_tokenizer_can_be_saved_and_named(tmp_path):
    data = ready()
    data.save_tokenizer(tmp_path / "tokenizer")
    again = ready(tokenizer=str(tmp_path / "tokenizer"))
    assert [block.ids for block in again.samples("retain")] == [block.ids for block in data.samples("retain")]
    again.tokenizer.eos_token = None
    again.tokenizer.save_pretrained(tmp_path / "endless")
    with pytest.raises(ConfigurationError, match="`tokenizer` must have an EOS token"):
        ready(tokenizer=str(tmp_path / "endless"))


def test_a_checkpoint_of_another_request_is_refused():
    state = ready(forget="sust_2").state_dict()
    with pytest.raises(MismatchError, match="`data` must have the split that the checkpoint was made with"):
        ready().load_state_dict(state)


def test_the_split_is_an_artefact(tmp_path):
    data = ready()
    data.split.save(tmp_path / "split.json")
    assert Split.load(tmp_path / "split.json") == data.split


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"corpus": "Novels"}, UnknownNameError, "`corpus` must be one of"),
        ({"requests": ["sust_2"]}, ConfigurationError, "`requests` must be sust_1, sust_2"),
        ({"requests": []}, ConfigurationError, "Found none"),
        ({"requests": ["sust_1"], "request": 2}, ConfigurationError, "`request` must be from 1 to 1"),
        ({"requests": ["sust_1"], "forget": "scal_1"}, ConfigurationError, "`forget` must be left out"),
        ({"corpus": "Books"}, ConfigurationError, "books are not"),
        ({"cut": "sentences"}, UnknownNameError, "`cut` must be one of"),
        ({"max_length": 1}, ConfigurationError, "`max_length` must be 2 or above"),
        ({"forget": "sust_9"}, UnknownNameError, "`forget` must be one of"),
        ({"retain": "both"}, UnknownNameError, "`retain` must be one of"),
        ({"articles": 5}, ConfigurationError, "`articles` must be an integer from 10"),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        ready(**arguments)


def test_a_corpus_without_the_request_says_what_it_has(tmp_path):
    folder = write_news_folder(tmp_path / "MUSE-Books", articles=10)
    readme = folder / "README.md"
    readme.write_text(readme.read_text().replace("config_name: scal", "config_name: other"))
    with pytest.raises(
        DataNotFoundError, match=r"the split 'forget_2' of 'scal'. Found no such configuration"
    ):
        ready(path=str(folder), forget="scal_2")


def test_texts_are_known_after_setup():
    with pytest.raises(ConfigurationError, match=r"Call \.setup\(\) first"):
        _ = MUSE().tokenizer
