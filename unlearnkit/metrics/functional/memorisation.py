"""Probability and truth ratio: how likely a model finds the true answer, alone and beside wrong ones.

Notation (TOFU, Maini et al. 2024): l is the mean negative log-likelihood of an answer's scored tokens (nats
a token, EOS included), P = exp(-l); l~ is that of the paraphrased true answer, l_k of the K wrong answers.
The truth ratio R = P_wrong / P_right has two definitions that give different tables, so both go by name:

- ``geometric`` (default): P_wrong = exp(-mean_k l_k). TOFU's aggregation code and every published number.
- ``arithmetic``: P_wrong = mean_k exp(-l_k). The formula in TOFU's paper and its training-time table.

All is computed from log R in float64, so a collapsed model (l of 1e3 and more) neither overflows nor divides
0 by 0. A row in which any l is NaN or infinite is a *failure* of the model, not of the evaluation: it scores
the worst value (P = 0, log R = +inf) and is counted in ``non_finite``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from unlearnkit.errors import ConfigurationError, DataError, MismatchError

TruthRatioMean = Literal["geometric", "arithmetic"]
Values = Tensor | Sequence[float]
Rows = Tensor | Sequence[Sequence[float]]

_ROUNDING = 1e-3
"""A mean negative log-likelihood may fall this far below 0 by rounding (bf16 logits); more is an error."""


@dataclass(frozen=True)
class RowMean:
    """A mean over rows.

    Attributes:
        value: The mean, failures included at their worst value.
        n: Number of rows.
        non_finite: How many of them are failures (some log-likelihood NaN or infinite).
    """

    value: float
    n: int
    non_finite: int


def _losses(values: Tensor, name: str) -> Tensor:
    """Return float64 losses >= 0, NaN where they are not finite."""
    found = values.double()
    found = found.masked_fill(~found.isfinite(), torch.nan)
    if (found < -_ROUNDING).any():
        lowest = found.nan_to_num(0.0).min().item()
        raise DataError(
            f"`{name}` must be negative log-likelihoods, >= 0. Found {lowest:.6g}. "
            "Pass -log p averaged over the answer's tokens, not log p."
        )
    return found.clamp(min=0.0)


def _vector(values: Values, name: str) -> Tensor:
    found = torch.as_tensor(values, dtype=torch.float64)
    if found.dim() != 1:
        raise DataError(f"`{name}` must have shape [rows]. Found {list(found.shape)}. Pass one number a row.")
    return _losses(found, name)


def _matrix(rows: Rows, name: str, right: Tensor) -> tuple[Tensor, Tensor]:
    """Return ``[rows, K]`` float64 losses (0 where a shorter row ends) and the mask of what is there."""
    if len(rows) != len(right):
        raise MismatchError(
            f"`{name}` must have one row for each answer. Found {len(rows)} for {len(right)}. "
            "Evaluate both on the same rows."
        )
    each = [torch.as_tensor(row, dtype=torch.float64, device=right.device) for row in rows]
    for place, row in enumerate(each):
        if row.dim() != 1 or not len(row):
            raise DataError(
                f"`{name}` must hold at least one wrong answer a row. Found shape {list(row.shape)} in row "
                f"{place}. Pass a list of losses for each row and leave out rows without wrong answers."
            )
    if not each:
        return right.new_zeros(0, 1), right.new_ones(0, 1, dtype=torch.bool)
    found = torch.nn.utils.rnn.pad_sequence(each, batch_first=True)
    sizes = torch.tensor([len(row) for row in each], device=right.device)
    return _losses(found, name), torch.arange(found.shape[1], device=right.device) < sizes[:, None]


def failed_rows(*losses: Tensor) -> Tensor:
    """Return ``[rows]`` bool: rows in which any of the ``[rows]`` or ``[rows, K]`` losses is NaN or infinite.

    >>> failed_rows(torch.tensor([1.0, float("nan")]), torch.tensor([[1.0, 2.0], [1.0, 2.0]])).tolist()
    [False, True]
    """
    bad = [~(loss if loss.dim() > 1 else loss[:, None]).isfinite().all(dim=1) for loss in losses]
    return torch.stack(bad).any(dim=0)


def probability(mean_nll: Values) -> Tensor:
    """Return P = exp(-l) a row: the length-normalised probability of the answer.

    Args:
        mean_nll: ``[rows]``, nats a token.

    Returns:
        ``[rows]``, float64, in [0, 1]; 0 where l is not finite. Up on the retain set; on the forget set near
        the retrained reference.

    >>> probability([0.0, 1.0, float("nan")]).tolist()
    [1.0, 0.36787944117144233, 0.0]

    Raises:
        DataError: A loss is clearly negative, or the shape is wrong.
    """
    nll = _vector(mean_nll, "mean_nll")
    return torch.where(failed_rows(nll), 0.0, (-nll).exp())


def normalised_probability(right_nll: Values, wrong_nll: Rows) -> Tensor:
    """Return P / (P + sum_k P_k) a row, the true answer's share among the choices.

    TOFU takes it on real authors and world facts, whose answers are short and have K = 3 wrong ones.

    Args:
        right_nll: ``[rows]``, mean nll of the true answer.
        wrong_nll: ``[rows, K]`` or a list of lists, mean nll of each wrong answer.

    Returns:
        ``[rows]``, float64, in [0, 1]; 0 where a loss is not finite. Up.

    >>> normalised_probability([1.0, 1e4], [[1.0, 1.0, 1.0], [1e4, 1e4, 1e4]]).tolist()
    [0.25, 0.25]

    Raises:
        DataError: A loss is clearly negative, a row has no wrong answer, or the shape is wrong.
        MismatchError: Not as many rows on both sides.
    """
    right = _vector(right_nll, "right_nll")
    wrong, mask = _matrix(wrong_nll, "wrong_nll", right)
    failed = failed_rows(right, wrong)
    scores = torch.cat([-right[:, None], (-wrong).masked_fill(~mask, -torch.inf)], dim=1)
    return torch.where(failed, 0.0, scores.softmax(dim=1)[:, 0])


def log_truth_ratio(right_nll: Values, wrong_nll: Rows, mean: TruthRatioMean = "geometric") -> Tensor:
    """Return log R = log P_wrong - log P_right a row.

    Geometric: ``l~ - mean_k l_k``; arithmetic: ``l~ + log mean_k exp(-l_k)``, never smaller (Jensen).

    Args:
        right_nll: ``[rows]``, mean nll of the paraphrased true answer.
        wrong_nll: ``[rows, K]`` or a list of lists, mean nll of each wrong answer.
        mean: How P_wrong averages over the wrong answers.

    Returns:
        ``[rows]``, float64; +inf where a loss is not finite. Forget quality compares these samples.

    >>> log_truth_ratio([1.0], [[2.0, 4.0]]).tolist()
    [-2.0]

    Raises:
        ConfigurationError: An unknown mean.
        DataError: A loss is clearly negative, a row has no wrong answer, or the shape is wrong.
        MismatchError: Not as many rows on both sides.
    """
    right = _vector(right_nll, "right_nll")
    wrong, mask = _matrix(wrong_nll, "wrong_nll", right)
    count = mask.sum(dim=1)
    if mean == "geometric":
        log_wrong = -wrong.masked_fill(~mask, 0.0).sum(dim=1) / count
    elif mean == "arithmetic":
        # In float64: log of an integer tensor would be float32 and cost the eighth digit.
        log_wrong = (-wrong).masked_fill(~mask, -torch.inf).logsumexp(dim=1) - count.double().log()
    else:
        raise ConfigurationError(
            f"`mean` must be 'geometric' or 'arithmetic'. Found {mean!r}. Choose one of them."
        )
    return torch.where(failed_rows(right, wrong), torch.inf, right + log_wrong)


def truth_preference(log_r: Values) -> Tensor:
    """Return max(0, 1 - R) a row: 1 when the truth is far likelier, 0 when a wrong answer is as likely. Up.

    >>> truth_preference([-1.0, 0.0, 800.0]).tolist()
    [0.6321205588285577, 0.0, 0.0]
    """
    return torch.expm1(_log_ratios(log_r).clamp(max=0.0)).abs()


def truth_indifference(log_r: Values) -> Tensor:
    """Return min(R, 1/R) = exp(-|log R|) a row: 1 when truth and wrong answers are equally likely.

    On the forget set ideally near the retrained reference: a model that never saw the answers is not at 1.

    >>> truth_indifference([-1.0, 0.0, 1.0]).tolist()
    [0.36787944117144233, 1.0, 0.36787944117144233]
    """
    return (-_log_ratios(log_r).abs()).exp()


def _log_ratios(log_r: Values) -> Tensor:
    found = torch.as_tensor(log_r, dtype=torch.float64)
    return torch.where(found.isnan(), torch.inf, found)


def mean_over_rows(values: Tensor, failed: Tensor) -> RowMean:
    """Return the mean of ``[rows]`` values with the number of rows and of failures among them.

    >>> mean_over_rows(torch.tensor([1.0, 0.0]), torch.tensor([False, True]))
    RowMean(value=0.5, n=2, non_finite=1)

    Raises:
        DataError: There are no rows.
    """
    if not len(values):
        raise DataError("`values` must hold at least one row. Found none. Give the evaluation set some rows.")
    return RowMean(values.double().mean().item(), len(values), int(failed.sum()))


def retain_truth_ratio(right_nll: Values, wrong_nll: Rows, mean: TruthRatioMean = "geometric") -> RowMean:
    """Return TOFU's truth ratio of the retain, real-authors and world-facts sets: mean max(0, 1 - R). Up.

    >>> retain_truth_ratio([1.0, 3.0], [[2.0], [1.0]]).value
    0.31606027941427883
    """
    log_r = log_truth_ratio(right_nll, wrong_nll, mean)
    return mean_over_rows(truth_preference(log_r), log_r.isinf())


def forget_truth_ratio(right_nll: Values, wrong_nll: Rows, mean: TruthRatioMean = "geometric") -> RowMean:
    """Return TOFU's truth ratio of the forget set: mean min(R, 1/R). Ideal: near the retrained reference.

    >>> forget_truth_ratio([1.0, 3.0], [[2.0], [2.0]]).value
    0.36787944117144233
    """
    log_r = log_truth_ratio(right_nll, wrong_nll, mean)
    return mean_over_rows(truth_indifference(log_r), log_r.isinf())


def paper_truth_ratio(right_nll: Values, wrong_nll: Rows) -> RowMean:
    """Return the TruthRatio of paper 001 (table 1): mean max(0, 1 - R) on the retain_perturbed rows. Up.

    *Derived*: the paper describes it ("how likely the model generates a correct answer versus an incorrect
    one, where a higher value indicates better model utility", section 4.4) and gives no formula. This is
    TOFU's retain aggregate with the geometric R, which fits that text, its direction and its data.

    >>> paper_truth_ratio([1.0], [[2.0]]) == retain_truth_ratio([1.0], [[2.0]])
    True
    """
    return retain_truth_ratio(right_nll, wrong_nll, "geometric")
