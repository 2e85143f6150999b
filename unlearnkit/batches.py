"""The typed batches of each modality, and the pair that one unlearning round consumes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NotRequired, TypedDict

from torch import Tensor

Side = Literal["forget", "retain"]
"""Which of the two data sets a loss, a gradient or an optimizer state belongs to."""

SIDES: tuple[Side, Side] = ("forget", "retain")

IGNORE = -100
"""Label of a token that is not scored (the prompt, the padding)."""


Answers = Literal["refusals", "mismatch"]
"""What the second answer to a question can be: a refusal, or the answer to another question of the retain set."""


class TokenBatch(TypedDict):
    """Right-padded token sequences; only positions whose label is not ``IGNORE`` are scored."""

    input_ids: Tensor
    """``[batch, tokens]``, int64."""
    attention_mask: Tensor
    """``[batch, tokens]``, int64; 1 on prompt and answer, 0 on padding (by length, not by pad id)."""
    labels: Tensor
    """``[batch, tokens]``, int64, not shifted; the answer's tokens with its EOS, else ``IGNORE``."""
    index: Tensor
    """``[batch]``, int64; the row of each sample in its data set."""
    alternative: NotRequired[TokenBatch]
    """The same questions in the same order with a second answer each, padded by itself, where an objective asks."""
    choice: NotRequired[Tensor]
    """``[batch]``, int64; which of its second answers each sample has. Of an ``alternative`` only."""


class LabelledBatch(TypedDict):
    """Inputs with one class label each."""

    inputs: Tensor
    """``[batch, ...]``; images are bytes, or floating point as the network takes them (latents)."""
    targets: Tensor
    """``[batch]``, int64."""
    index: Tensor
    """``[batch]``, int64; the row of each sample in its data set."""
    keys: NotRequired[Tensor]
    """``[batch]``, int64; what the draws of each sample's loss are made of. Of diffusion data only."""
    conditions: NotRequired[Tensor]
    """``[batch]``, int64; classes that a diffusion model is told in place of the targets, none dropped."""
    steps: NotRequired[Tensor]
    """``[batch]``, int64; time steps of a diffusion model in place of drawn ones."""


TRAITS = "traits.json"
"""File in a run's folder that holds the ``ImageTraits`` of its data."""


@dataclass(frozen=True)
class ImageTraits:
    """What a network must know of images before it is built.

    Attributes:
        classes: Number of classes.
        channels: 1 for grey images, 3 for colour.
        height: Height and width, in pixels.
    """

    classes: int
    channels: int
    height: int


class ForgetRetainBatch(TypedDict):
    """What one round consumes: a batch, or a list of micro-batches, for each side.

    Of several processes all hand in batches, or all lists: a list is backpropagated part by part, which
    takes other exchanges between ranks than a batch does.
    """

    forget: Any
    retain: Any


def micro_batches(batch: ForgetRetainBatch, side: Side) -> list[Any]:
    """Return the micro-batches of one side as a list, a single batch as a list of one.

    >>> micro_batches({"forget": 1, "retain": [2, 3]}, "retain")
    [2, 3]
    """
    found = batch[side]
    return list(found) if isinstance(found, (list, tuple)) else [found]


@dataclass(frozen=True)
class QARow:
    """One question with its answer, and what evaluation compares the answer with.

    Attributes:
        index: Row number in the whole data set (what splits and weights refer to).
        question: The question.
        answer: The true answer.
        paraphrased_answer: The true answer in other words (TOFU's perturbed configurations), or None.
        perturbed_answers: Wrong answers in the paraphrase's form; empty where there are none.
        value: The fact in the answer as a string, where the data set names it.
    """

    index: int
    question: str
    answer: str
    paraphrased_answer: str | None = None
    perturbed_answers: tuple[str, ...] = ()
    value: str | None = None
