"""PreferenceMarginJ: by how much preferred answers are likelier than rejected ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal, Self, get_args

import torch
from torch import Tensor

from unlearnkit.alignment.gradient import summed_gradient
from unlearnkit.alignment.sampling import prompts_of
from unlearnkit.alignment.scored import scored_batches
from unlearnkit.errors import ConfigurationError, DataError, MismatchError, NonFiniteError, UnknownNameError
from unlearnkit.host import eval_mode

Weights = Literal["gap", "equal"]
"""What a pair counts: the gap of its two scores, or as much as any other."""


class PreferenceMarginJ:
    """J(theta) = mean_i g_i [log pi(y_i+ | x_i) - log pi(y_i- | x_i)], g_i the gap of the pair's scores.

    At the reference this is the direction of DPO, weighted. With equal weights it is a poor measure of what is to be
    gained: pairs that hardly differ count as much as any. Use it where scores are known.

    Args:
        pairs: Batches of rejected answers with the chosen ones as ``alternative``, the same on every pass; None takes
            the data module's preference pairs.
        gaps: A number for each pair, in the batches' order; None takes the scores of the data module's pairs.
        weights: ``gap``, or ``equal`` to leave gaps alone.

    Raises:
        NonFiniteError: A gap is NaN or infinite.
        UnknownNameError: ``weights`` is neither of the two.

    >>> from unlearnkit.synthetic.toy_preferences import toy_tokens
    >>> from unlearnkit.testing import TinyGPT
    >>> pairs = [toy_tokens([0], [[6, 6, 6, 5]], second=[[0, 2, 2, 5]])]
    >>> one, two = (PreferenceMarginJ(pairs, [gap]).value(TinyGPT()) for gap in (1.0, 8.5))
    >>> round(two / one, 3)
    8.5
    """

    def __init__(
        self,
        pairs: Iterable[Any] | None = None,
        gaps: Sequence[float] | None = None,
        weights: Weights = "gap",
    ) -> None:
        if weights not in get_args(Weights):
            raise UnknownNameError.among("weights", str(weights), get_args(Weights))
        self.pairs = pairs
        self.weights: Weights = weights
        self._gaps = (
            None if gaps is None or weights == "equal" else torch.as_tensor(gaps, dtype=torch.float64)
        )
        if self._gaps is not None and not bool(self._gaps.isfinite().all()):
            row = int((~self._gaps.isfinite()).nonzero()[0])
            raise NonFiniteError(
                f"`gaps` must be finite numbers. Found {self._gaps[row].item()} for pair {row}. Take the pair out."
            )

    def at(self, round_: int) -> Self:
        """Return itself: nothing is drawn."""
        return self

    def bind(self, datamodule: Any) -> None:
        """Take what was not given from a data module: its preference pairs and their scores.

        Raises:
            ConfigurationError: Its pairs have no scores, and gaps are asked for.
        """
        if datamodule is None or self.pairs is not None:
            return
        self.pairs = list(datamodule.pair_batches("pairs"))
        if self.weights == "gap" and self._gaps is None:
            scores = [row.scores for row in datamodule.pairs_of("pairs")]
            if any(score is None for score in scores):
                raise ConfigurationError(
                    "`weights` must be 'equal' where pairs have no scores (SafeRLHF and HaluEval have none). Found "
                    "'gap'. Set weights=equal, or score the pairs with a reward model and pass `gaps`."
                )
            self._gaps = torch.tensor([score[0] - score[1] for score in scores], dtype=torch.float64)

    def _terms(self, model: Any) -> Iterator[Callable[[], Tensor]]:
        """Yield the sum over each batch of weight times margin, divided by the number of pairs."""
        if self.pairs is None:
            raise ConfigurationError(
                "`pairs` must be given, or taken from a data module by bind. Found None. Pass batches, or call "
                ".bind(data)."
            )
        batches = list(self.pairs)
        number = sum(len(batch["index"]) for batch in batches)
        gaps = torch.ones(number, dtype=torch.float64) if self._gaps is None else self._gaps
        if len(gaps) != number:
            raise MismatchError(
                f"`gaps` must have one number for each of {number} pairs. Found {len(gaps)}. Score all pairs, in their "
                "order."
            )
        first = 0
        for batch in scored_batches(model, batches, "pairs"):
            require_same_prompts(batch)
            own = gaps[first : first + len(batch["index"])]
            first += len(batch["index"])

            def term(batch: Any = batch, own: Tensor = own) -> Tensor:
                margins: Tensor = model.losses(batch) - model.losses(batch["alternative"])
                return (own.to(margins) * margins).sum() / number

            yield term

    def value(self, model: Any) -> float:
        """Return the weighted mean margin, nats times score."""
        with eval_mode(model), torch.no_grad():
            return sum(float(term()) for term in self._terms(model))

    def gradient(self, model: Any) -> list[Tensor]:
        """Return the direction in which J grows, one tensor per trainable parameter."""
        return summed_gradient(model, self._terms(model))


def require_same_prompts(batch: Any) -> None:
    """Refuse a batch whose two answers are not to the same prompts.

    Raises:
        DataError: There are no second answers, or a pair's prompts differ.
    """
    if "alternative" not in batch:
        raise DataError(
            f"`pairs` must have the chosen answers as `alternative`. Found a batch of {sorted(batch)}. Use "
            "Preferences.pair_batches."
        )
    other = batch["alternative"]
    rows = zip(batch["index"].tolist(), prompts_of(batch), prompts_of(other), strict=False)
    wrong = [row for row, one, two in rows if one != two]
    if len(other["index"]) != len(batch["index"]):
        raise DataError(
            f"`pairs` must pair every rejected answer with one chosen answer. Found {len(batch['index'])} rejected and "
            f"{len(other['index'])} chosen ones. Collate both from the same pairs."
        )
    if wrong:
        raise DataError(
            f"`pairs` must pair answers to the same prompt. Found {len(wrong)} pairs whose prompts differ, row "
            f"{wrong[0]} the first. Pair the answers anew."
        )
