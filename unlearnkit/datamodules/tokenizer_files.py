"""Where the tokenizer comes from: a folder, the hub, or training from scratch on the data."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unlearnkit.artifacts import AnyPath, atomic_folder
from unlearnkit.errors import ConfigurationError, DataNotFoundError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SPECIAL = ("<pad>", "<bos>", "<eos>")
"""Special tokens of a tokenizer trained from scratch, ids 0, 1, 2 (Llama's for bos and eos)."""

GENERIC = "TokenizersBackend"
"""The class that transformers writes for a tokenizer of no model's own, such as one trained from scratch."""

SMALLEST = 256 + len(SPECIAL)
"""Every byte has a token, so that any text can be written."""


def train_bpe(
    texts: Iterable[str], vocab_size: int, folder: AnyPath | None = None
) -> PreTrainedTokenizerBase:
    """Train a byte-level BPE tokenizer; the same texts give the same tokenizer.

    Args:
        texts: What to train on.
        vocab_size: Number of tokens at most; small texts may give fewer.
        folder: Where to save it, or None.

    Raises:
        ConfigurationError: ``vocab_size`` is smaller than the bytes and special tokens.
    """
    if vocab_size < SMALLEST:
        raise ConfigurationError(
            f"`vocab_size` must be {SMALLEST} or above (256 bytes and {len(SPECIAL)} special tokens). "
            f"Found {vocab_size}. Raise it; 1000 suits a small data set."
        )
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer)
    pad, bos, eos = SPECIAL
    tokenizer: PreTrainedTokenizerBase = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=backend, pad_token=pad, bos_token=bos, eos_token=eos, padding_side="right"
    )
    if folder is not None:
        save_tokenizer(tokenizer, folder)
    return tokenizer


def load_tokenizer(name: str) -> PreTrainedTokenizerBase:
    """Load a tokenizer from a folder or by its name on the hub; pad with EOS where it has no pad token.

    Raises:
        DataNotFoundError: There is neither such a folder nor such a name within reach.
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    # Beside a configuration of Qwen2, transformers 5 takes Qwen's class for any tokenizer: one more token than the
    # model has, and other borders of words.
    kind: Any = PreTrainedTokenizerFast if _stated_class(name) == GENERIC else AutoTokenizer
    try:
        tokenizer: PreTrainedTokenizerBase = kind.from_pretrained(name)
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        where = "a folder without a tokenizer" if Path(name).is_dir() else "neither a folder nor within reach"
        raise DataNotFoundError(
            f"`tokenizer` must be a folder written by save_pretrained, or a name on the hub. Found {name!r}, "
            f"{where} ({reason}). Without a network give the path of a folder, or set HF_HOME to a cache that "
            "holds it; or leave `tokenizer` unset to train one on the data."
        ) from error
    if tokenizer.pad_token_id is None and tokenizer.eos_token is not None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def _stated_class(name: str) -> str | None:
    """Return the class that a folder's tokenizer says it is of, None where there is no such folder."""
    try:
        found = json.loads((Path(name) / "tokenizer_config.json").read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return found.get("tokenizer_class") if isinstance(found, dict) else None


def save_tokenizer(tokenizer: PreTrainedTokenizerBase, folder: AnyPath) -> None:
    """Write a ``from_pretrained`` folder, whole or not at all."""
    with atomic_folder(folder) as temporary:
        tokenizer.save_pretrained(str(temporary))
