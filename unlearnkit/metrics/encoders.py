"""What compares texts for closer-look's numbers: local stand-ins, and the papers' networks where they are on disk.

A network is asked for by name (hub) or folder and never downloaded. Where it is not there, the stand-in takes its
place, a warning says so, and ``Chosen`` carries the names of both into the result.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor

from unlearnkit.errors import UnlearnKitWarning
from unlearnkit.metrics.functional.entailment import lexical_judge
from unlearnkit.metrics.functional.similarity import trigram_cosine

Pairs = Sequence[tuple[str, str]]

SENTENCE_ENCODER = "sentence-transformers/paraphrase-MiniLM-L6-v2"
"""Closer-look's encoder for similarity."""

NLI_MODEL = "sileod/deberta-v3-base-tasksource-nli"
"""Closer-look's network for entailment."""

_BATCH = 32


class Similarity(Protocol):
    """Returns a number in [0, 1] for each pair of texts."""

    name: str

    def __call__(self, pairs: Pairs) -> list[float]:
        """Return the similarity of each pair."""
        ...


class Judge(Protocol):
    """Says for each (premise, hypothesis) whether the second follows.

    Attributes:
        name: What a result calls it.
        by_wording: Whether it compares words, so that two refusals in other words do not entail each other.
    """

    name: str
    by_wording: bool

    def __call__(self, pairs: Pairs) -> list[bool]:
        """Return whether each hypothesis follows."""
        ...


Kind = TypeVar("Kind", Similarity, Judge)


@dataclass(frozen=True)
class Chosen(Generic[Kind]):
    """What compares, and how it was chosen.

    Attributes:
        used: What compares.
        asked: The name that was asked for.
        why: Why it is another one; None where it is the one asked for.
    """

    used: Kind
    asked: str
    why: str | None = None

    def describe(self) -> dict[str, str | None]:
        """Return the names, for a result."""
        return {"asked": self.asked, "used": self.used.name, "why": self.why}


class TrigramSimilarity:
    """Cosine of the counts of character trigrams."""

    name = "character trigrams"

    def __call__(self, pairs: Pairs) -> list[float]:
        """Return the similarity of each pair."""
        return [trigram_cosine(first, second) for first, second in pairs]


class LexicalJudge:
    """Share of the hypothesis's words that the premise has, with all its numbers and the same denial."""

    name = "lexical proxy"
    by_wording = True

    def __call__(self, pairs: Pairs) -> list[bool]:
        """Return whether each hypothesis follows."""
        return lexical_judge(pairs)


class SentenceSimilarity:
    """max(0, cosine) of sentence embeddings, the mean over tokens of a network's last states.

    Args:
        name: Name or folder of a sentence-transformers encoder with mean pooling.
        device: Where it runs.
        max_length: Tokens read of each text; 128 is that of closer-look's encoder.
    """

    def __init__(self, name: str, device: torch.device | str = "cpu", max_length: int = 128) -> None:
        from transformers import AutoModel, AutoTokenizer

        self.name = name
        self.max_length = max_length
        self.tokenizer: Any = AutoTokenizer.from_pretrained(name, local_files_only=True)
        network: Any = AutoModel.from_pretrained(name, local_files_only=True)
        self.network = network.to(device).float().eval()

    @torch.no_grad()
    def embed(self, texts: Sequence[str]) -> Tensor:
        """Return the embeddings, [texts, width] on the CPU."""
        found = []
        for start in range(0, len(texts), _BATCH):
            batch = self.tokenizer(
                list(texts[start : start + _BATCH]),
                padding=True,
                truncation=True,
                max_length=self.max_length,
                return_tensors="pt",
            ).to(self.network.device)
            states = self.network(**batch).last_hidden_state
            mask = batch["attention_mask"][..., None].to(states.dtype)
            found.append(((states * mask).sum(1) / mask.sum(1).clamp_min(1e-9)).cpu())
        return torch.cat(found)

    def __call__(self, pairs: Pairs) -> list[float]:
        """Return the similarity of each pair."""
        if not pairs:
            return []
        texts = list(dict.fromkeys(text for pair in pairs for text in pair))
        places = {text: place for place, text in enumerate(texts)}
        embedded = self.embed(texts)
        first, second = (embedded[[places[pair[side]] for pair in pairs]] for side in (0, 1))
        return torch.nn.functional.cosine_similarity(first, second).clamp(0, 1).tolist()


class NetworkJudge:
    """The most likely label of a network for natural language inference is ``entailment``.

    Args:
        name: Name or folder of a sequence classifier with a label of that name.
        device: Where it runs.

    Raises:
        ValueError: It has no such label.
    """

    by_wording = False

    def __init__(self, name: str, device: torch.device | str = "cpu") -> None:
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        self.name = name
        self.tokenizer: Any = AutoTokenizer.from_pretrained(name, local_files_only=True)
        network: Any = AutoModelForSequenceClassification.from_pretrained(name, local_files_only=True)
        self.network = network.to(device).float().eval()
        labels = {label.lower(): int(number) for number, label in network.config.id2label.items()}
        if "entailment" not in labels:
            raise ValueError(f"its labels are {', '.join(labels)}, not entailment")
        self.entailment = labels["entailment"]

    @torch.no_grad()
    def __call__(self, pairs: Pairs) -> list[bool]:
        """Return whether each hypothesis follows."""
        found: list[bool] = []
        for start in range(0, len(pairs), _BATCH):
            premises, hypotheses = zip(*pairs[start : start + _BATCH], strict=True)
            batch = self.tokenizer(
                list(premises), list(hypotheses), padding=True, truncation=True, return_tensors="pt"
            ).to(self.network.device)
            found += (self.network(**batch).logits.argmax(-1) == self.entailment).tolist()
        return found


def find_similarity(name: str, device: torch.device | str = "cpu") -> Chosen[Similarity]:
    """Return what compares texts: the stand-in by its name, or a network that is on disk; else the stand-in.

    >>> find_similarity("character trigrams").describe()["used"]
    'character trigrams'
    """
    stand_in = TrigramSimilarity()
    if name == stand_in.name:
        return Chosen(stand_in, name)
    try:
        return Chosen(SentenceSimilarity(name, device), name)
    except (OSError, ValueError) as error:
        return Chosen(stand_in, name, _fallen_back("similarity", name, stand_in.name, error))


def find_judge(name: str, device: torch.device | str = "cpu") -> Chosen[Judge]:
    """Return what judges entailment: the stand-in by its name, or a network that is on disk; else the stand-in.

    >>> find_judge("lexical proxy").describe()["used"]
    'lexical proxy'
    """
    stand_in = LexicalJudge()
    if name == stand_in.name:
        return Chosen(stand_in, name)
    try:
        return Chosen(NetworkJudge(name, device), name)
    except (OSError, ValueError) as error:
        return Chosen(stand_in, name, _fallen_back("entailment", name, stand_in.name, error))


def _fallen_back(argument: str, name: str, stand_in: str, error: Exception) -> str:
    reason = str(error).partition("\n")[0] or type(error).__name__
    here = Path(name).is_dir()
    remedy = (
        "Give the folder of another one, as save_pretrained writes it"
        if here
        else f"Download it first (hf download {name}), or give the path of a folder"
    )
    warnings.warn(
        f"`{argument}` names {name!r}, which could not be {'used' if here else 'loaded without a network'} ({reason}). "
        f"{stand_in!r} takes its place, and the result says so; its numbers are not comparable with those of the "
        f"network. {remedy}.",
        UnlearnKitWarning,
        stacklevel=3,
    )
    return f"{name} could not be loaded: {reason}"
