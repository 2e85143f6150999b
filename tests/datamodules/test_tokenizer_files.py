"""Tokenizers: trained from scratch, saved, loaded, missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from unlearnkit.datamodules import load_tokenizer, save_tokenizer, train_bpe
from unlearnkit.errors import ConfigurationError, DataNotFoundError

TEXTS = [f"Question: Who wrote book {i}?\nAnswer: The author {i * i} of Zürich wrote it." for i in range(200)]


def test_training_twice_gives_the_same_tokens() -> None:
    first, second = train_bpe(TEXTS, 350), train_bpe(TEXTS, 350)
    assert first.get_vocab() == second.get_vocab()
    assert first.backend_tokenizer.to_str() == second.backend_tokenizer.to_str()
    assert len(first) == 350


def test_the_order_of_the_texts_does_not_matter() -> None:
    assert train_bpe(TEXTS, 350).get_vocab() == train_bpe(TEXTS[::-1], 350).get_vocab()


def test_special_tokens_come_first_and_are_never_part_of_a_text() -> None:
    tokenizer = train_bpe(TEXTS, 300)
    assert (tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id) == (0, 1, 2)
    assert min(tokenizer("Any text", add_special_tokens=True)["input_ids"]) > 2


@pytest.mark.parametrize("text", [" spaces  inside ", "São Paulo, 北京, 🙂", "tab\tnew\nline", ""])
def test_any_text_comes_back(text: str) -> None:
    tokenizer = train_bpe(TEXTS, 300)
    ids = tokenizer(text)["input_ids"]
    assert tokenizer.decode(ids, clean_up_tokenization_spaces=False) == text


def test_saved_and_loaded(tmp_path: Path) -> None:
    tokenizer = train_bpe(TEXTS, 300, folder=tmp_path / "made")
    save_tokenizer(load_tokenizer(str(tmp_path / "made")), tmp_path / "again")
    again = load_tokenizer(str(tmp_path / "again"))
    assert again.get_vocab() == tokenizer.get_vocab()
    assert (again.pad_token, again.eos_token, again.padding_side) == ("<pad>", "<eos>", "right")
    assert again(TEXTS[3])["input_ids"] == tokenizer(TEXTS[3])["input_ids"]


def test_a_tokenizer_without_a_pad_token_pads_with_eos(tmp_path: Path) -> None:
    tokenizer = train_bpe(TEXTS, 300)
    tokenizer.pad_token = None
    save_tokenizer(tokenizer, tmp_path / "made")
    assert load_tokenizer(str(tmp_path / "made")).pad_token_id == tokenizer.eos_token_id


def test_a_vocabulary_without_room_for_the_bytes() -> None:
    with pytest.raises(ConfigurationError, match=r"`vocab_size` must be 259 or above.*Found 258.*Raise it"):
        train_bpe(TEXTS, 258)


def test_no_network_with_a_hub_name() -> None:
    message = (
        r"`tokenizer` must be .*Found 'some/name', neither a folder.*the path of a folder, or set HF_HOME"
    )
    with pytest.raises(DataNotFoundError, match=message):
        load_tokenizer("some/name")


def test_a_folder_without_a_tokenizer(tmp_path: Path) -> None:
    with pytest.raises(DataNotFoundError, match=r"Found '.*', a folder without a tokenizer"):
        load_tokenizer(str(tmp_path))


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataNotFoundError, match=r"Found '.*/nowhere', neither a folder"):
        load_tokenizer(str(tmp_path / "nowhere"))


def test_beside_a_model_of_qwen_it_stays_what_was_saved(tmp_path: Path) -> None:
    """transformers takes Qwen's own class there, with a token that the model has not."""
    tokenizer = train_bpe(["Who wrote it? Ana wrote it in 1931."], 300)
    save_tokenizer(tokenizer, tmp_path / "model")
    (tmp_path / "model" / "config.json").write_text('{"model_type": "qwen2"}')
    found = load_tokenizer(str(tmp_path / "model"))
    assert found.get_vocab() == tokenizer.get_vocab()
    assert found("Who wrote it in 1931?")["input_ids"] == tokenizer("Who wrote it in 1931?")["input_ids"]
    assert (found.eos_token, found.pad_token) == (tokenizer.eos_token, tokenizer.pad_token)
